/* What a server process leaves on the machine: folders, lock, pid file, the background start. */
#ifndef WK_SERVER_PROCESS_H
#define WK_SERVER_PROCESS_H

#include <sys/types.h>
#include <wkim/config.h>

#include "options.h"

/* A folder and those above it (0755); 0 when it can be written into, else -1 and errno. */
int wk_process_make_folder(const char *path, mode_t mode);
/* rootDir, dataDir, <rootDir>/run. */
int wk_process_folders(const wkim_config *cfg, wkim_error *err);
/* Lock on rootDir, held until the process ends; *fd is kept open. */
int wk_process_lock(const wkim_config *cfg, int *fd, wkim_error *err);
int wk_process_pid_write(const wkim_config *cfg, wkim_error *err);
void wk_process_pid_remove(const wkim_config *cfg);
/* Stop the server that holds the lock; the exit code of "stop". */
int wk_process_stop(const wkim_config *cfg, int timeout_s);
/* Start again without -d and wait until that process serves; the exit code of the parent. */
int wk_process_daemon(int argc, char **argv);
/* In the child: tell the parent that the server serves, and let go of its terminal. */
int wk_process_pingback(const char *address);
/* As many descriptors as the system lets us have. */
void wk_process_raise_limits(void);
/* How malloc gives memory back; before the first thread. */
void wk_process_tune_memory(void);

#endif
