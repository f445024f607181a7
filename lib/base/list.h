/* Intrusive doubly linked list with a sentinel head. */
#ifndef WK_BASE_LIST_H
#define WK_BASE_LIST_H
#include <stdbool.h>
#include <stddef.h>

struct wk_list {
    struct wk_list *prev, *next;
};
#define WK_CONTAINER(ptr, type, field) ((type *)(void *)((char *)(ptr) - offsetof(type, field)))

static inline void wk_list_init(struct wk_list *l) { l->prev = l->next = l; }
static inline bool wk_list_empty(const struct wk_list *l) { return l->next == l; }
static inline void wk_list_add_before(struct wk_list *at, struct wk_list *n)
{
    n->prev = at->prev;
    n->next = at;
    at->prev->next = n;
    at->prev = n;
}
static inline void wk_list_push(struct wk_list *head, struct wk_list *n)
{
    wk_list_add_before(head, n);
}
/* Leaves n pointing at itself, so removing twice is harmless. */
static inline void wk_list_remove(struct wk_list *n)
{
    n->prev->next = n->next;
    n->next->prev = n->prev;
    wk_list_init(n);
}
static inline struct wk_list *wk_list_pop(struct wk_list *head)
{
    if (wk_list_empty(head))
        return NULL;
    struct wk_list *n = head->next;
    wk_list_remove(n);
    return n;
}
/* `it` may be removed inside the body. */
#define WK_LIST_EACH(it, tmp, head) \
    for ((it) = (head)->next, (tmp) = (it)->next; (it) != (head); (it) = (tmp), (tmp) = (it)->next)
#endif
