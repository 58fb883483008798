/* SPDX-License-Identifier: MIT */
#include "passthrough.h"

#include <stdio.h>
#include <unistd.h>

void passthrough_init(struct passthrough *p, const char *why_not)
{
	*p = (struct passthrough){ .why_not = why_not };
	pthread_mutex_init(&p->lock, NULL);
}

void passthrough_destroy(struct passthrough *p)
{
	pthread_mutex_destroy(&p->lock);
}

bool passthrough_open(const struct passthrough *p, struct fuse_file_info *fi)
{
#ifdef HAVE_FUSE_PASSTHROUGH
	fi->backing_id = p->backing;
#else
	(void)fi;
#endif
	return p->backing != 0;
}

bool passthrough_is_possible(struct passthrough *p)
{
	bool possible;

	pthread_mutex_lock(&p->lock);
	possible = p->decided ? p->backing != 0 : !p->why_not;
	pthread_mutex_unlock(&p->lock);
	return possible;
}

void passthrough_describe(const struct passthrough *p, char *text, size_t size)
{
	if (p->backing)
		snprintf(text, size, "/ram is passed through to a clone of RAM");
	else
		snprintf(text, size, "/ram is served by smfs, not passed through: %s",
			 p->why_not ? p->why_not : p->error.text);
}

#ifdef HAVE_FUSE_PASSTHROUGH

void passthrough_negotiate(struct passthrough *p, struct fuse_conn_info *conn)
{
	if (p->why_not)
		return;
	if (geteuid() != 0)
		p->why_not = "only root may have that";
	else if (!(conn->capable & FUSE_CAP_PASSTHROUGH))
		p->why_not = "this kernel does not know it";
	else if (!fuse_set_feature_flag(conn, FUSE_CAP_PASSTHROUGH))
		p->why_not = "libfuse refuses it";
	else
		/* The clone's filesystem may be stacked itself, on overlayfs say. */
		conn->max_backing_stack_depth = FUSE_BACKING_STACKED_OVER;
}

static void decide(struct passthrough *p, fuse_req_t req, struct snapshot *s)
{
	if (p->why_not || snapshot_clone_ram(s, &p->error))
		return;
	p->backing = fuse_passthrough_open(req, ram_clone_fd(snapshot_ram(s)));
	if (p->backing <= 0) {
		p->backing = 0;
		p->why_not = "the kernel refuses the clone";
	}
}

#else

void passthrough_negotiate(struct passthrough *p, struct fuse_conn_info *conn)
{
	(void)conn;
	if (!p->why_not)
		p->why_not = "it was built with a libfuse before 3.17";
}

static void decide(struct passthrough *p, fuse_req_t req, struct snapshot *s)
{
	(void)p;
	(void)req;
	(void)s;
}

#endif

bool passthrough_decide(struct passthrough *p, fuse_req_t req, struct snapshot *s)
{
	bool now;

	pthread_mutex_lock(&p->lock);
	now = !p->decided;
	if (now)
		decide(p, req, s);
	p->decided = true;
	pthread_mutex_unlock(&p->lock);
	return now;
}
