/* Values of the configuration as they may be shown: without secrets. */
#ifndef WK_SERVER_CONFIG_SHOW_H
#define WK_SERVER_CONFIG_SHOW_H

#include <wkim/config.h>

/* Text of a value with secrets as ******; owned: free().  NULL without memory. */
char *wk_config_shown(const wkim_config *cfg, const char *key, const char *type);

#endif
