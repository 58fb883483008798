/* SPDX-License-Identifier: MIT */
/* A vCPU's registers, as a core file has them: from the decoded state. */
#ifndef SMFS_VCPU_REGISTERS_H
#define SMFS_VCPU_REGISTERS_H

#include "container.h"
#include "guest_space.h"

/* The most of a machine. */
enum { VCPU_REGISTERS_MAX = 34 };

struct vcpu_registers {
	enum guest_machine machine;
	unsigned count;
	uint64_t value[VCPU_REGISTERS_MAX]; /* in the order of NT_PRSTATUS */
	uint64_t sp;
	bool in_kernel; /* it runs with the kernel's rights */
};

/* Of the vCPU N of C in R; false if its state is not understood. */
bool vcpu_registers_read(const struct container *c, uint64_t n, struct vcpu_registers *r);

/* How many vCPUs C has a state of. */
uint64_t vcpu_count(const struct container *c);

#endif
