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

/* The node of a test; fresh and gone make and free a new one for each. */
static struct cl c;

static inline int fresh(void **state)
{
    (void)state;
    cl_new(&c, NULL);
    return 0;
}

static inline int fresh_strict(void **state)
{
    (void)state;
    cl_new(&c, &(struct cl_options){ .strict_allow = true });
    return 0;
}

static inline int gone(void **state)
{
    (void)state;
    cl_free(&c);
    return 0;
}

static inline void add_members(const char *group, const char *uids)
{
    assert_int_equal(cl_list(&c, GROUP, group, WK_LIST_SUBSCRIBER, WKIM_LIST_ADD, uids), WKIM_OK);
}
#endif
