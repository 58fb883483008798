/* SPDX-License-Identifier: MIT */
#include "privileges.h"

#include <linux/capability.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A save has the snapshot's owner, mode and attributes, and root's share of a full disk. */
static const int KEPT[] = {
	CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER, CAP_FSETID, CAP_SETFCAP,
	CAP_SYS_RESOURCE,
	CAP_SYS_ADMIN, /* unmounting, passthrough, trusted attributes */
};

static uint64_t kept(void)
{
	uint64_t set = 0;
	unsigned i;

	for (i = 0; i < sizeof(KEPT) / sizeof(KEPT[0]); i++)
		set |= UINT64_C(1) << KEPT[i];
	return set;
}

void privileges_drop(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];
	int i;

	if (geteuid() != 0)
		return;
	for (i = 0; prctl(PR_CAPBSET_READ, i) >= 0; i++)
		if (!(kept() >> i & 1))
			prctl(PR_CAPBSET_DROP, i);
	if (syscall(SYS_capget, &header, data) == 0) {
		for (i = 0; i < 2; i++) {
			data[i].permitted &= (uint32_t)(kept() >> 32 * i);
			data[i].effective = data[i].permitted;
			data[i].inheritable = 0;
		}
		syscall(SYS_capset, &header, data);
	}
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}
