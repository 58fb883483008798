/* SPDX-License-Identifier: MIT */
/* The kernel's log: a ring or an older buffer, at the start of memory, with anything in it. */
#include "fuzz.h"
#include "guest_dmesg.h"
#include "memory.h"

/* What it points at is where the input's own pointers say. */
#define AT "ffffffff8000"
static const char ring[] =
	"SYMBOL(prb)=" AT "0000\n"
	"OFFSET(printk_ringbuffer.desc_ring)=0\nOFFSET(printk_ringbuffer.text_data_ring)=40\n"
	"OFFSET(prb_desc_ring.count_bits)=0\nOFFSET(prb_desc_ring.descs)=8\n"
	"OFFSET(prb_desc_ring.infos)=16\nOFFSET(prb_desc_ring.head_id)=24\n"
	"OFFSET(prb_desc_ring.tail_id)=32\nOFFSET(prb_data_ring.size_bits)=0\n"
	"OFFSET(prb_data_ring.data)=8\nSIZE(prb_desc)=24\nOFFSET(prb_desc.state_var)=0\n"
	"OFFSET(prb_desc.text_blk_lpos)=8\nOFFSET(prb_data_blk_lpos.begin)=0\n"
	"OFFSET(prb_data_blk_lpos.next)=8\nSIZE(printk_info)=16\nOFFSET(printk_info.ts_nsec)=0\n"
	"OFFSET(printk_info.text_len)=8\nOFFSET(atomic_long_t.counter)=0\n";
static const char older[] =
	"SYMBOL(log_buf)=" AT "0000\nSYMBOL(log_buf_len)=" AT "0008\n"
	"SYMBOL(log_first_idx)=" AT "000c\nSYMBOL(log_next_idx)=" AT "0010\n"
	"SIZE(printk_log)=16\nOFFSET(printk_log.ts_nsec)=0\nOFFSET(printk_log.len)=8\n"
	"OFFSET(printk_log.text_len)=10\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	bool old = input_uint(&in, 1) & 1;
	struct guest_kernel k = fuzz_kernel(in.at, in.left, old ? older : ring);
	struct buffer out = { 0 };
	struct error e = { 0 };

	fuzz_check_file(guest_dmesg(&k, &out, &e), &out, &e);
	buffer_free(&out);
	guest_kernel_free(&k);
	return 0;
}
