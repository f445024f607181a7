/* The stable tier of libwkim in one include. */
#ifndef WKIM_WKIM_H
#define WKIM_WKIM_H
#include <wkim/types.h>
#include <wkim/error.h>
#include <wkim/mem.h>
#include <wkim/config.h>
#include <wkim/queue.h>
#include <wkim/node.h>
#include <wkim/hook.h>
#include <wkim/session.h>
#include <wkim/codec.h>
#include <wkim/message.h>
#include <wkim/channel.h>
#include <wkim/user.h>
#include <wkim/conversation.h>
#include <wkim/command.h>
#include <wkim/event.h>
#endif
