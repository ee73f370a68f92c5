/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel types latprobe reads, reduced to the fields it reads. CO-RE relocates every access to the
 * running kernel, so these need no kernel header and no BTF of the build machine.
 */
#ifndef LATPROBE_KERNEL_H
#define LATPROBE_KERNEL_H
#define __VMLINUX_H__ /* tells libbpf's headers that registers go by their names in the kernel */

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed char __s8;
typedef short __s16;
typedef int __s32;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;

enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_ARRAY_OF_MAPS = 12,
	BPF_MAP_TYPE_RINGBUF = 27,
};

enum {
	BPF_ANY = 0,
	BPF_RB_NO_WAKEUP = 1,
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct ns_common {
	unsigned int inum;
};

struct net {
	__u64 net_cookie; /* before 5.12 a structure */
	struct ns_common ns;
};

typedef struct {
	struct net *net;
} possible_net_t;

struct in6_addr {
	union {
		__u8 u6_addr8[16];
	} in6_u;
};

struct sock_common {
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
};

struct sk_buff;

struct sk_buff_head {
	struct sk_buff *next;
};

struct sock {
	struct sock_common __sk_common;
	struct sk_buff_head sk_receive_queue;
	__u16 sk_protocol;
};

struct udp_sock {
	struct sk_buff_head reader_queue;
};

struct tcp_sock {
	__u32 write_seq;
	__u32 snd_nxt;
	__u32 copied_seq;
};

struct net_device {
	char name[16];
	int ifindex;
	possible_net_t nd_net;
};

struct list_head {
	struct list_head *next;
};

struct sk_buff {
	struct sk_buff *next;
	struct list_head list;
	struct net_device *dev;
	struct sock *sk;
	unsigned int len;
	__u8 pkt_type : 3;
	__u16 queue_mapping;
	__be16 protocol;
	__u16 network_header;
	__u16 mac_header;
	unsigned int tail;
	unsigned int end;
	unsigned char *head;
	unsigned char *data;
};

enum skb_drop_reason {
	SKB_DROP_REASON_NOT_SPECIFIED = 2, /* before 5.18: 0 */
};

/* Lies at skb->head + skb->end. */
struct skb_shared_info {
	unsigned short gso_size;
};

struct virtio_device {
	void *priv;
};

struct virtqueue {
	struct virtio_device *vdev;
	unsigned int index;
};

struct virtnet_info {
	struct net_device *dev;
};

struct socket {
	struct sock *sk;
};

struct inode {
	unsigned short i_mode;
};

struct file {
	struct inode *f_inode;
	void *private_data;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

/* x86_64, in the order of the system call's and function's arguments. */
struct pt_regs {
	unsigned long di;
	unsigned long si;
	unsigned long dx;
	unsigned long r10;
	unsigned long cx;
	unsigned long r8;
	unsigned long r9;
};

struct task_struct {
	struct files_struct *files;
};

#pragma clang attribute pop

#endif
