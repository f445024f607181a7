/* Log events of the node and the server: JSON lines in info.log, warn.log and error.log under
 * logger.dir, rotated by size, and readable lines on standard output.
 *
 * Threads: events from any thread; they are copied into a bounded buffer and written by a thread of
 * this file, so that no caller waits for a disk.  When the buffer is full, lines are dropped and
 * counted. */
#ifndef WK_SERVER_LOG_FILE_H
#define WK_SERVER_LOG_FILE_H

#include <wkim/node.h>

struct wk_log_file;

/* WKIM_OK, or an error with err filled (folder or file cannot be made).  Owned: wk_log_close, which
 * writes what is left. */
int wk_log_open(struct wk_log_file **out, const wkim_config *cfg, int no_stdout, wkim_error *err);
void wk_log_close(struct wk_log_file *l);
void wk_log_reopen(struct wk_log_file *l); /* after the files were moved away */
int wk_log_level(const struct wk_log_file *l);
void wk_log_set_level(struct wk_log_file *l, const wkim_config *cfg); /* any time */
/* A wkim_log_fn; user is the wk_log_file. */
void wk_log_event(void *user, int level, const char *room, const char *event, const char *fields);
void wk_log_say(struct wk_log_file *l, int level, const char *event, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

#endif
