#!/usr/bin/env python3
"""House rules that a compiler does not check: rooms and layers, sizes, banned calls, documents.

One line per check; each violation is a line "file:line: text".  Ends with "N passed, N failed".
usage: test/tidy/tidy.py [ROOT]
"""
import fnmatch
import os
import re
import sys

ROOT = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else
                       os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
FILE_LINES, FUNCTION_LINES, COLUMNS, README_LINES = 800, 70, 100, 60
SKIP_DIRS = {".git", "build", "node_modules", "__pycache__", ".pytest_cache"}
TEXT_ENDINGS = (".c", ".h", ".def", ".py", ".sh", ".js", ".mjs", ".css", ".html", ".md", ".mk", ".go",
                ".yaml", ".yml", ".in", ".map", ".txt", ".json", ".mod", ".svg")
TEXT_NAMES = {"README", "Makefile", "LICENSE", "Dockerfile", ".editorconfig", ".clang-format", ".gitignore"}
GENERATED = {"test/vectors", "server/web/package-lock.json"}

# Functions that no file of lib/ or server/ calls, with what to use.
BANNED = {"strcpy": "a sized copy", "strcat": "wk_buf", "sprintf": "snprintf", "vsprintf": "vsnprintf",
          "gets": "fgets", "strtok": "wk_cursor", "rand": "wk_rng", "srand": "wk_rng", "atoi": "strtol",
          "atol": "strtol", "atof": "strtod", "assert": "WK_ASSERT", "alloca": "wk_arena",
          "system": "no shell", "popen": "no shell", "tmpnam": "mkstemp"}
# In lib/ memory comes through base/mem.h, so that every failure can be tested.
BANNED_LIB = {"malloc", "calloc", "realloc", "free", "strdup", "strndup", "asprintf", "vasprintf"}
# libc and POSIX headers by room: everything else needs a THIRD_ line in rooms.mk.
LIBC = set("""assert.h ctype.h errno.h fcntl.h inttypes.h limits.h math.h poll.h pthread.h signal.h stdarg.h
 stdatomic.h stdbool.h stddef.h stdint.h stdio.h stdlib.h string.h strings.h time.h unistd.h dirent.h netdb.h
 arpa/inet.h netinet/in.h netinet/tcp.h sys/epoll.h sys/eventfd.h sys/file.h sys/mman.h sys/random.h
 sys/resource.h sys/socket.h sys/stat.h sys/statvfs.h sys/time.h sys/types.h sys/uio.h sys/un.h sys/utsname.h
 sys/wait.h sys/ioctl.h sys/syscall.h malloc.h sched.h getopt.h grp.h pwd.h libgen.h ifaddrs.h net/if.h
 sys/sysinfo.h sys/queue.h dlfcn.h glob.h syslog.h sys/prctl.h sys/vfs.h semaphore.h endian.h float.h stdalign.h locale.h""".split())
SERVER_THIRD = ["event2/*", "libwebsockets.h", "nghttp2/*", "yaml.h", "curl/*", "jansson.h", "openssl/*",
                "protobuf-c/*", "*.pb-c.h", "zlib.h"]

checks = []


def check(name):
    """Registers a function that yields (file, line, text) for each violation."""
    def add(f):
        checks.append((name, f))
        return f
    return add


def walk():
    for top, dirs, names in os.walk(ROOT):
        dirs[:] = sorted(d for d in dirs if d not in SKIP_DIRS)
        for n in sorted(names):
            yield os.path.relpath(os.path.join(top, n), ROOT)


FILES = list(walk())
TEXT = [f for f in FILES if (f.endswith(TEXT_ENDINGS) or os.path.basename(f) in TEXT_NAMES)
        and not any(f == g or f.startswith(g + "/") for g in GENERATED)]
cache = {}


def read(f):
    if f not in cache:
        with open(os.path.join(ROOT, f), encoding="utf-8", errors="replace") as h:
            cache[f] = h.read()
    return cache[f]


def lines(f):
    return enumerate(read(f).split("\n"), 1)


def c_files(*tops, ends=(".c", ".h")):
    return [f for f in FILES if f.endswith(ends) and f.split("/")[0] in tops]


def code_of(f):
    """Text of a C file with comments and literals blanked, line breaks kept."""
    key = "code:" + f
    if key not in cache:
        keep = lambda m: re.sub(r"[^\n]", " ", m.group(0)) if m.group(0)[0] == "/" else '""'
        cache[key] = re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', keep, read(f),
                            flags=re.S)
    return cache[key]


def includes(f):
    for n, text in lines(f):
        m = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', text)
        if m:
            yield n, m.group(1), m.group(2)


def rooms():
    r = {}
    for text in read("lib/rooms.mk").replace("\\\n", " ").split("\n"):
        m = re.match(r"([\w/]+)\s*:=\s*(.*)", text)
        if m:
            r[m.group(1)] = m.group(2).split()
    return r


ROOMS = rooms()


def room_of(path):
    """The room of a path below lib/: the folder it lies in."""
    return os.path.dirname(path)


def inside(room, other):
    """Whether `room` may see what is private to `other`: it is that room, or a part of it."""
    return room == other or room.startswith(other + "/")


@check("every room is in lib/rooms.mk, uses only lower layers, and has a README")
def room_table():
    folders = sorted({room_of(f[4:]) for f in FILES if f.startswith("lib/") and f.count("/") > 1})
    for d in folders:
        if d not in ROOMS["ROOMS"]:
            yield "lib/rooms.mk", 0, "room %s is missing" % d
        if "lib/%s/README" % d not in FILES:
            yield "lib/%s" % d, 0, "no README"
    for r in ROOMS["ROOMS"]:
        if r not in folders:
            yield "lib/rooms.mk", 0, "room %s has no folder" % r
        layer = int(ROOMS["LAYER_" + r][0])
        for u in ROOMS["USES_" + r]:
            if int(ROOMS["LAYER_" + u][0]) >= layer:
                yield "lib/rooms.mk", 0, "%s uses %s, which is not below it" % (r, u)


@check("rooms include what lib/rooms.mk lists, and nothing else")
def room_includes():
    for f in c_files("lib", ends=(".c", ".h", ".def")):
        room = room_of(f[4:])
        third = ROOMS.get("THIRD_" + room, [])
        for n, kind, what in includes(f):
            if kind == '"':
                other = room_of(what)
                if "/" not in what or other not in ROOMS["ROOMS"]:
                    yield f, n, "\"%s\": write \"room/header.h\"" % what
                elif other != room and other not in ROOMS["USES_" + room]:
                    yield f, n, "%s may not include %s" % (room, what)
                elif not inside(room, other) and os.path.basename(what) == "internal.h":
                    yield f, n, "%s is inside room %s" % (what, other)
                elif "lib/" + what not in FILES:
                    yield f, n, "%s does not exist" % what
            elif what.startswith("wkim/"):
                if "include/" + what not in FILES:
                    yield f, n, "%s does not exist" % what
            elif what not in LIBC and not any(fnmatch.fnmatch(what, p) for p in third):
                yield f, n, "room %s has no THIRD line for <%s>" % (room, what)


@check("the server includes the public API, its own headers and its libraries")
def server_includes():
    for f in c_files("server"):
        for n, kind, what in includes(f):
            if kind == '"':
                if "server/" + what not in FILES:
                    yield f, n, "\"%s\": write the path of a header below server/" % what
            elif not (what.startswith("wkim/") or what in LIBC
                      or any(fnmatch.fnmatch(what, p) for p in SERVER_THIRD)):
                yield f, n, "<%s>" % what


@check("examples and the load client use the public API only")
def example_includes():
    for f in c_files("examples") + [f for f in FILES if f.startswith("test/perf/wkload/") and f.endswith((".c", ".h"))]:
        for n, kind, what in includes(f):
            if kind == '"' and os.path.normpath(os.path.join(os.path.dirname(f), what)) not in FILES:
                yield f, n, "%s is not public" % what


@check("each .c includes its own header first")
def own_header():
    # <stem>.h beside the file where there is one; elsewhere the header of the room that declares it,
    # which is any quoted header of the same folder, or, in a part of a room, of the folder above.
    for f in c_files("lib", "server", ends=(".c",)):
        first = next(includes(f), None)
        own = f[:-2] + ".h"
        if first is None:
            yield f, 1, "includes nothing"
            continue
        n, kind, what = first
        path = f.split("/")[0] + "/" + what
        if own in FILES and path != own:
            yield f, n, "includes <%s> before its own %s" % (what, own)
        elif kind != '"' or not inside(os.path.dirname(f), os.path.dirname(path)) \
                or path not in FILES:
            yield f, n, "\"%s\" is no header of its room" % what


@check("headers have an include guard named after their path")
def guards():
    for f in c_files("lib", "server", "include", ends=(".h",)):
        t = code_of(f)
        m = re.search(r"#ifndef (\w+)\s*\n#define (\w+)", t)
        if not m or m.group(1) != m.group(2):
            yield f, 1, "no include guard"
            continue
        words = re.sub(r"[^A-Z0-9]+", "_", os.path.basename(f).upper())
        if not m.group(1).endswith(words):
            yield f, 1, "guard %s is not named after the file" % m.group(1)
        if not t.rstrip().endswith("#endif"):
            yield f, 1, "text behind the guard"


@check("public headers have extern \"C\" and stay bindable C")
def public_headers():
    for f in c_files("include", ends=(".h",)):
        t = read(f)
        if "extern \"C\"" not in t and "WKIM_API" in t:
            yield f, 1, "no extern \"C\""
        for n, kind, what in includes(f):
            if kind != "<" or (not what.startswith("wkim/") and what not in LIBC):
                yield f, n, "\"%s\" is not installed" % what
        for n, text in enumerate(code_of(f).split("\n"), 1):
            if re.search(r"\bssize_t\b|\blong\b|\binline\b|\.\.\.|\bw?char\w* *: *\d", text) \
                    and not text.lstrip().startswith("#"):
                yield f, n, "not bindable: %s" % text.strip()


@check("no banned calls")
def banned_calls():
    call = re.compile(r"(?<![\w.>])(\w+)\s*\(")
    for f in c_files("lib", "server"):
        for n, text in enumerate(code_of(f).split("\n"), 1):
            for m in call.finditer(text):
                name = m.group(1)
                if name in BANNED:
                    yield f, n, "%s(): use %s" % (name, BANNED[name])
                # What jansson returns was allocated by libc and is freed there.
                own = f == "lib/base/mem.c" or (name == "free" and "<jansson.h>" in read(f))
                if name in BANNED_LIB and f.startswith("lib/") and not own:
                    yield f, n, "%s(): use base/mem.h" % name
            if re.search(r"#\s*include\s*<assert.h>", text):
                yield f, n, "assert.h: use WK_ASSERT"


@check("files have at most %d lines" % FILE_LINES)
def file_sizes():
    for f in c_files("lib", "server", "include", "test", "examples"):
        n = read(f).count("\n")
        if n > FILE_LINES:
            yield f, n, "%d lines" % n


@check("functions have at most %d lines" % FUNCTION_LINES)
def function_sizes():
    # House style: a function's braces stand alone in column 0.
    for f in c_files("lib", "server", "test", "examples", ends=(".c", ".h")):
        start = None
        for n, text in lines(f):
            if text == "{":
                start = n
            elif text == "}" and start is not None:
                if n - start - 1 > FUNCTION_LINES:
                    yield f, start, "%d lines" % (n - start - 1)
                start = None


@check("lines of C have at most %d columns" % COLUMNS)
def columns():
    for f in c_files("lib", "server", "include", "test", "examples"):
        for n, text in lines(f):
            if len(text) > COLUMNS:
                yield f, n, "%d columns" % len(text)


@check("one statement a line")
def statements():
    for f in c_files("lib", "server"):
        for n, text in enumerate(code_of(f).split("\n"), 1):
            if text.lstrip().startswith(("for ", "#", "case ", "default")) or re.search(r"\bfor \(", text):
                body = text.lstrip()
                if not body.startswith(("case ", "default")):
                    continue
                # `case X: return y;` and `case X: f(); break;` are one thought in a table of cases.
                body = re.sub(r"^(case [^:?]+|default):", "", body).strip()
                if body.endswith("break;"):
                    body = body[:-6].rstrip()
                if body.count(";") > 1:
                    yield f, n, text.strip()
                continue
            depth, count = 0, 0
            for ch in text:
                depth += (ch in "({") - (ch in ")}")
                count += ch == ";" and depth <= 0
            if count > 1:
                yield f, n, text.strip()


@check("text hygiene: no trailing blanks, one final newline, spaces in code")
def hygiene():
    for f in TEXT:
        t = read(f)
        if not t:
            continue
        if not t.endswith("\n") or t.endswith("\n\n"):
            yield f, t.count("\n"), "final newline"
        if "\r" in t:
            yield f, 1, "carriage return"
        for n, text in lines(f):
            if text != text.rstrip():
                yield f, n, "trailing blanks"
            if "\t" in text and f.endswith((".c", ".h", ".py", ".js", ".def")):
                yield f, n, "tab"


# Built from pieces so that this file passes its own check.
WORDS = [
    ("unfinished work", r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b"),
    ("path of one machine", r"(?<![\w.])/(wo" r"rk|ro" r"ot|ho" r"me/\w+|Us" r"ers)(/|\b)(?!\w*:)"),
    ("registry host", r"(registry\.np" r"mjs\.org|proxy\.go" r"lang\.org|py" r"pi\.org|cra" r"tes\.io|"
                      r"registry\.np" r"mmirror|snap" r"shot\.debian)"),
    ("how it was written", r"(?i)\b(chat" r"gpt|cla" r"ude|anth" r"ropic|open" r"ai|copi" r"lot|language mo" r"del|"
                           r"ai (ass" r"istant|hel" r"per|ses" r"sion|gener" r"ated)|"
                           r"(other|earlier|next|previous) (hel" r"pers?|ag" r"ent))\b"),
]


@check("no unfinished marks, machine paths, registry hosts or traces of how it was written")
def words():
    for f in TEXT:
        if f.endswith(("package-lock.json", "go.sum", ".svg")) or f == "LICENSE":
            continue
        for n, text in lines(f):
            for name, pattern in WORDS:
                m = re.search(pattern, text)
                if m:
                    yield f, n, "%s: %s" % (name, m.group(0))


@check("each folder of code has a README of at most %d lines that names every file" % README_LINES)
def readmes():
    for folder in sorted({os.path.dirname(c) for c in c_files("lib", "server", ends=(".c",))}):
        f = folder + "/README"
        if f not in FILES:
            yield folder, 0, "no README"
            continue
        t = read(f)
        if t.count("\n") > README_LINES:
            yield f, t.count("\n"), "%d lines" % t.count("\n")
        for c in FILES:
            if os.path.dirname(c) == folder and c.endswith(".c"):
                stem = os.path.basename(c)[:-2]
                if not re.search(r"\b%s(?![a-z0-9])|\b%s\w*\*" % (re.escape(stem), re.escape(stem.split("_")[0])), t):
                    yield f, 1, "does not name %s" % os.path.basename(c)
        for m in re.finditer(r"\b([a-z0-9_]+\.[ch])\b", t):
            name = m.group(1)
            if not any(os.path.basename(x) == name for x in FILES) and name not in LIBC and "/" not in name:
                yield f, t[:m.start()].count("\n") + 1, "%s does not exist" % name


@check("comments name files that exist")
def file_names():
    names = {os.path.basename(f) for f in FILES}
    for f in c_files("lib", "server", "include", ends=(".c", ".h", ".def")):
        for c in re.finditer(r"/\*.*?\*/", read(f), flags=re.S):
            for m in re.finditer(r"(?<![\w.<*/-])(?:\w+/)*(\w+\.(?:c|h|def))\b", c.group(0)):
                if m.group(1) not in names and m.group(1) not in LIBC:
                    line = read(f)[:c.start() + m.start()].count("\n") + 1
                    yield f, line, "%s does not exist" % m.group(0)


@check("README.md's table names what exists, and every room and server part")
def where_is_it():
    t = read("README.md")
    start = t.find("## Where is it?")
    if start < 0:
        yield "README.md", 1, "no table \"Where is it?\""
        return
    at = t[:start].count("\n") + 1
    table = t[start:]
    named = re.findall(r"`((?:lib|server|test|include|examples|bindings)/[^`]+)`", table)
    for p in named:
        if not os.path.exists(os.path.join(ROOT, p)):
            yield "README.md", at, "%s does not exist" % p
    for r in ROOMS["ROOMS"]:
        if r in ("base", "crypto", "shard", "event"):
            if "lib/README.md" not in table and "lib/%s" % r not in table:
                yield "README.md", at, "nothing leads to room %s" % r
        elif not any(p.startswith("lib/%s" % r) for p in named):
            yield "README.md", at, "room %s is not in the table" % r
    for m in re.finditer(r"\]\(([^)#:]+)\)", t):
        if not os.path.exists(os.path.join(ROOT, m.group(1))):
            yield "README.md", t[:m.start()].count("\n") + 1, "%s does not exist" % m.group(1)


def def_rows(f, macro):
    """(line, list of arguments) of each X(...) row of a table."""
    t = re.sub(r'"(?:\\.|[^"\\\n])*"|/\*.*?\*/',
               lambda m: m.group(0) if m.group(0)[0] == '"' else re.sub(r"[^\n]", " ", m.group(0)), read(f),
               flags=re.S)
    for m in re.finditer(r"^\s*%s\((.*?)\)\s*(?:\\)?$" % macro, t, flags=re.S | re.M):
        args = re.findall(r'"(?:\\.|[^"\\])*"|[^,\s][^,]*', m.group(1))
        yield t[:m.start(1)].count("\n") + 1, [a.strip() for a in args]


def yaml_keys(f):
    """(dotted key, line) of a plain YAML file; keys that are commented out count too."""
    path = []
    for n, text in lines(f):
        m = re.match(r"( *)(#?)( *)([A-Za-z]\w*):(?: |$)", text)
        if not m or (m.group(2) and len(m.group(3)) % 2):
            continue
        depth = len(m.group(1)) + len(m.group(3))
        path = [p for p in path if p[0] < depth] + [(depth, m.group(4))]
        yield ".".join(p[1] for p in path), n


@check("every configuration key has a text, and the example file knows it")
def config_table():
    f, seen, shown = "lib/config/config.def", set(), dict(yaml_keys("server/wk.yaml"))
    rows = list(def_rows(f, "X"))
    if len(rows) < 50:
        yield f, 1, "only %d keys found" % len(rows)
    for n, a in rows:
        key = a[0].strip('"')
        if key in seen:
            yield f, n, "%s twice" % key
        seen.add(key)
        if len(a) != 8 or len(a[7].strip('"')) < 4:
            yield f, n, "%s has no text" % key
        inert = "I" in re.split(r"[^A-Z]+", a[5])
        if not inert and key not in shown:
            yield "server/wk.yaml", 1, "%s is missing" % key
        if inert and key in shown:
            yield "server/wk.yaml", shown[key], "%s does nothing" % key
    for key, n in shown.items():
        if key not in seen and not any(s.startswith(key + ".") for s in seen):
            yield "server/wk.yaml", n, "%s is no key" % key


@check("keys that do nothing are marked, and only those")
def config_read():
    # Parsing, checking and printing a configuration is no use of a key.
    used = "".join(read(f) for f in c_files("lib", "server")
                   if not f.startswith(("lib/config/", "server/config/")))
    for n, a in def_rows("lib/config/config.def", "X"):
        key = a[0].strip('"')
        inert = "I" in re.split(r"[^A-Z]+", a[5])
        if not inert and '"%s"' % key not in used:
            yield "lib/config/config.def", n, "%s: nothing reads it (flag I says so)" % key
        if inert and '"%s"' % key in used:
            yield "lib/config/config.def", n, "%s: is read, flag I is wrong" % key


@check("every route has a handler that exists, and each handler a route")
def route_table():
    f = "server/http/routes.def"
    sources = "".join(read(c) for c in c_files("server"))
    seen = {}
    rows = list(def_rows(f, "WK_ROUTE"))
    if len(rows) < 50:
        yield f, 1, "only %d routes found" % len(rows)
    for n, a in rows:
        where = tuple(a[:3])
        if where in seen:
            yield f, n, "%s %s is also in line %d" % (a[1], a[2], seen[where])
        seen[where] = n
        if a[3] not in ("NULL", "0") and not re.search(r"\b%s\(" % re.escape(a[3]), sources):
            yield f, n, "no handler %s" % a[3]


@check("errors: distinct numbers, a text each, and all used")
def error_table():
    f = "include/wkim/error.h"
    numbers = {}
    used = "".join(code_of(c) for c in c_files("lib", "server") if c != f)
    for m in re.finditer(r'X\((\w+), (-?\d+), ([01]), "([^"]+)"\)', read(f)):
        line = read(f)[:m.start()].count("\n") + 1
        name, value = m.group(1), m.group(2)
        if value in numbers:
            yield f, line, "%s and %s are both %s" % (name, numbers[value], value)
        numbers[value] = name
        if not re.search(r"\bWKIM_%s\b" % name, used):
            yield f, line, "WKIM_%s is never returned" % name
    if len(numbers) < 10:
        yield f, 1, "only %d errors found" % len(numbers)


@check("every public function is in one header, documented, and in a symbol list if there is one")
def public_functions():
    names = {}
    for f in c_files("include", ends=(".h",)):
        for m in re.finditer(r"WKIM_API\s+[^;{]*?\b(wkim_\w+)\s*\(", code_of(f)):
            line = code_of(f)[:m.start()].count("\n") + 1
            if m.group(1) in names:
                yield f, line, "%s is also in %s" % (m.group(1), names[m.group(1)])
            names[m.group(1)] = f
    defined = "".join(code_of(f) for f in c_files("lib", ends=(".c",)))
    for name, f in sorted(names.items()):
        if not re.search(r"^[\w \*]*\b%s\(" % name, defined, flags=re.M):
            yield f, 1, "%s is declared and not defined" % name
    if "test/abi/symbols.txt" in FILES:
        listed = set(re.findall(r"\bwkim_\w+", read("test/abi/symbols.txt")))
        for name in sorted(set(names) - listed):
            yield "test/abi/symbols.txt", 1, "%s is missing" % name


def main():
    passed = failed = 0
    for name, f in checks:
        bad = list(f())
        print("%s %s" % ("ok    " if not bad else "FAILED", name))
        for path, line, text in bad:
            print("    %s:%d: %s" % (path, line, text))
        passed += not bad
        failed += bool(bad)
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
