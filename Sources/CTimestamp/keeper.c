// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include "ctimestamp.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void put_back(const char *device, int receive, const struct lp_hardware_stamping *before)
{
	struct lp_hardware_stamping setting = *before;

	// The other direction may have become somebody else's.
	lp_hardware_stamping_get(device, &setting);
	if (receive)
		setting.receive = before->receive;
	else
		setting.transmit = before->transmit;
	lp_hardware_stamping_set(device, &setting);
}

// Waits for the end of the process that made it, however it comes.
static void keep(int end, const char *device, int receive,
		 const struct lp_hardware_stamping *before)
{
	static const int ignored[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE };
	int own = dup2(end, 3);
	char byte;

	for (size_t i = 0; i < sizeof(ignored) / sizeof(*ignored); i++)
		signal(ignored[i], SIG_IGN);
	setsid();
	syscall(SYS_close_range, own + 1, ~0U, 0);
	while (read(own, &byte, 1) < 0 && errno == EINTR)
		;
	put_back(device, receive, before);
	_exit(0);
}

int lp_stamping_keeper_start(const char *device, int receive,
			     const struct lp_hardware_stamping *before,
			     struct lp_stamping_keeper *keeper)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	keeper->process = fork();
	if (keeper->process == 0)
		keep(ends[0], device, receive, before);
	close(ends[0]);
	if (keeper->process < 0) {
		int error = -errno;

		close(ends[1]);
		return error;
	}
	keeper->end = ends[1];
	return 0;
}

void lp_stamping_keeper_end(const struct lp_stamping_keeper *keeper)
{
	close(keeper->end);
	while (waitpid(keeper->process, NULL, 0) < 0 && errno == EINTR)
		;
}
