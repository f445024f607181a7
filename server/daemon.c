#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "net.h"

#define SECRET_BYTES 32
#define WAIT_S 60

static int listen_local(char *address, size_t cap)
{
    struct sockaddr_in sa = {.sin_family = AF_INET};
    socklen_t len = sizeof(sa);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) != 0 || listen(fd, 4) != 0 ||
        getsockname(fd, (struct sockaddr *)&sa, &len) != 0) {
        if (fd >= 0)
            (void)close(fd);
        return -1;
    }
    (void)snprintf(address, cap, "127.0.0.1:%u", ntohs(sa.sin_port));
    return fd;
}

static int is_daemon_flag(const char *arg)
{
    return strcmp(arg, "-d") == 0 || strncmp(arg, "--daemon", 8) == 0;
}

/* In the child: argv without -d, the secret on standard input. */
static void run_child(int argc, char **argv, char *address, int secret_fd)
{
    char **args = calloc((size_t)argc + 4, sizeof(*args));
    int n = 0, null = open("/dev/null", O_WRONLY | O_CLOEXEC);

    if (!args || null < 0 || setsid() < 0 || dup2(secret_fd, STDIN_FILENO) < 0 ||
        dup2(null, STDOUT_FILENO) < 0)
        _exit(1);
    for (int i = 0; i < argc; i++)
        if (i == 0 || !is_daemon_flag(argv[i]))
            args[n++] = argv[i];
    args[n++] = (char[]){"--pingback"};
    args[n++] = address;
    args[n++] = (char[]){"--noStdout"};
    (void)execv("/proc/self/exe", args);
    _exit(1);
}

/* One connection that repeats the secret: 1. */
static int heard(int listener, const unsigned char *secret)
{
    unsigned char got[SECRET_BYTES];
    struct timeval limit = {2, 0};
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    ssize_t n;

    if (fd < 0)
        return 0;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    n = recv(fd, got, sizeof(got), MSG_WAITALL);
    (void)close(fd);
    return n == SECRET_BYTES && memcmp(got, secret, SECRET_BYTES) == 0;
}

static int wait_child(int listener, pid_t child, const unsigned char *secret)
{
    time_t end = time(NULL) + WAIT_S;

    while (time(NULL) < end) {
        struct pollfd p = {.fd = listener, .events = POLLIN};
        int status;

        if (poll(&p, 1, 100) > 0 && heard(listener, secret)) {
            printf("wkim-server is running in the background, pid %ld\n", (long)child);
            return 0;
        }
        if (waitpid(child, &status, WNOHANG) == child) {
            fprintf(stderr, "wkim-server: the background process ended at its start, see above or "
                            "the log files\n");
            return WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : 1;
        }
    }
    fprintf(stderr, "wkim-server: pid %ld is not ready after %d s; it goes on starting\n",
            (long)child, WAIT_S);
    return 1;
}

int wk_process_daemon(int argc, char **argv)
{
    unsigned char secret[SECRET_BYTES];
    char address[WK_ADDR_TEXT];
    int listener = listen_local(address, sizeof(address)), pipes[2], rc = 1;
    pid_t child;

    if (listener < 0 || getrandom(secret, sizeof(secret), 0) != SECRET_BYTES ||
        pipe2(pipes, O_CLOEXEC) != 0) {
        fprintf(stderr, "wkim-server: cannot start in the background: %s\n", strerror(errno));
        if (listener >= 0)
            (void)close(listener);
        return 1;
    }
    child = fork();
    if (child == 0)
        run_child(argc, argv, address, pipes[0]);
    (void)close(pipes[0]);
    if (child > 0 && write(pipes[1], secret, sizeof(secret)) == SECRET_BYTES)
        rc = wait_child(listener, child, secret);
    else
        fprintf(stderr, "wkim-server: cannot start in the background: %s\n", strerror(errno));
    (void)close(pipes[1]);
    (void)close(listener);
    return rc;
}

int wk_process_pingback(const char *address)
{
    unsigned char secret[SECRET_BYTES];
    struct sockaddr_storage sa;
    socklen_t len;
    size_t have = 0;
    int fd, null, rc = -1;

    while (have < sizeof(secret)) {
        ssize_t n = read(STDIN_FILENO, secret + have, sizeof(secret) - have);

        if (n <= 0)
            return -1;
        have += (size_t)n;
    }
    if (wk_net_sockaddr(address, &sa, &len) != 0)
        return -1;
    fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (connect(fd, (struct sockaddr *)&sa, len) == 0 &&
        send(fd, secret, sizeof(secret), MSG_NOSIGNAL) == SECRET_BYTES)
        rc = 0;
    (void)close(fd);
    null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0) {
        for (int i = 0; i < 3; i++)
            (void)dup2(null, i);
        (void)close(null);
    }
    return rc;
}
