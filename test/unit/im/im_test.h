/* What every test of the room includes first. */
#ifndef TEST_IM_H
#define TEST_IM_H
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>
#include <wkim/channel.h>
#include "base/mem.h"
#include "cluster.h"

#define OK WKIM_REASON_SUCCESS
#define PERSON WKIM_CHANNEL_PERSON
#define GROUP WKIM_CHANNEL_GROUP

static inline void add_members(struct cl *c, const char *group, const char *uids)
{
    assert_int_equal(cl_list(c, GROUP, group, WK_LIST_SUBSCRIBER, WKIM_LIST_ADD, uids), WKIM_OK);
}
#endif
