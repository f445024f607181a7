"""Compares what libwkim.so exports and how its public structs lie in memory with what is on record.

Names may be added between releases; one that goes away or a field that moves breaks programs that
are already built, so both files are compared as they are and changed only on purpose (--update)."""
import glob
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
INCLUDE = "include"


def run(*argv, text=""):
    p = subprocess.run(argv, input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return p.returncode, p.stdout


def headers():
    return sorted(h[len(INCLUDE) + 1:] for h in glob.glob(INCLUDE + "/wkim/**/*.h", recursive=True))


def exported(build):
    code, out = run("nm", "-D", "--defined-only", build + "/libwkim.so")
    if code:
        sys.exit("abi: " + out)
    return sorted({line.split()[-1].split("@")[0] for line in out.splitlines() if line.split()[-2] != "A"})


def declared():
    """Names with WKIM_API in the headers."""
    names = set()
    for h in headers():
        source = re.sub(r"/\*.*?\*/", " ", open(os.path.join(INCLUDE, h), encoding="utf-8").read(), flags=re.S)
        names |= set(re.findall(r"WKIM_API[^;(]*?\b(wkim_\w+)\s*\(", source))
    return sorted(names)


def structs():
    """(header, type, [fields]) of every struct whose members the headers show."""
    found = []
    for h in headers():
        source = re.sub(r"/\*.*?\*/", " ", open(os.path.join(INCLUDE, h), encoding="utf-8").read(), flags=re.S)
        for m in re.finditer(r"typedef\s+struct\s+(\w+)\s*\{(.*?)\}\s*(\w+)\s*;", source, flags=re.S):
            fields = []
            for part in m.group(2).split(";"):
                pointer = re.search(r"\(\s*\*\s*(\w+)\s*\)\s*\(", part)
                if pointer:
                    fields.append(pointer.group(1))
                    continue
                if not part.strip():
                    continue
                for piece in part.split(","):
                    fields.append(re.search(r"(\w+)\s*(?:\[[^\]]*\])?\s*$", piece.strip()).group(1))
            found.append((h, m.group(3), fields))
    return found


def layout():
    lines = ["#include <stddef.h>", "#include <stdio.h>"]
    lines += ["#include <%s>" % h for h in headers()]
    lines.append("int main(void) {")
    for _, name, fields in structs():
        lines.append('printf("%s %%zu\\n", sizeof(%s));' % (name, name))
        for f in fields:
            lines.append('printf("  %s %%zu %%zu\\n", offsetof(%s, %s), sizeof(((%s *)0)->%s));' % (f, name, f, name, f))
    lines.append("return 0; }")
    with tempfile.TemporaryDirectory() as tmp:
        program = os.path.join(tmp, "layout")
        code, out = run("cc", "-std=c11", "-I" + INCLUDE, "-x", "c", "-", "-o", program, text="\n".join(lines))
        if code:
            sys.exit("abi: the layout program does not compile\n" + out)
        code, out = run(program)
    if code:
        sys.exit("abi: the layout program fails")
    return out.splitlines()


def stand_alone():
    """Every header by itself, twice, in the oldest C and a strict C++."""
    bad = []
    kinds = [("cc", "-std=c99", "c"), ("c++", "-std=c++17", "c++")]
    for h in headers():
        for compiler, std, language in kinds:
            text = "#include <%s>\n#include <%s>\nint main(void) { return 0; }\n" % (h, h)
            code, out = run(compiler, std, "-pedantic", "-Wall", "-Wextra", "-Werror", "-I" + INCLUDE,
                            "-fsyntax-only", "-x", language, "-", text=text)
            if code:
                bad.append("%s with %s:\n%s" % (h, std, out))
    return bad


def compare(name, now, update):
    path = os.path.join(HERE, name)
    if update:
        with open(path, "w", encoding="utf-8") as f:
            f.write("\n".join(now) + "\n")
        return []
    with open(path, encoding="utf-8") as f:
        was = f.read().splitlines()
    if was == now:
        return []
    gone = ["  gone: " + x for x in was if x not in now]
    new = ["  new:  " + x for x in now if x not in was]
    return ["%s differs\n%s" % (name, "\n".join(gone + new or ["  another order"]))]


def main(argv):
    update = "--update" in argv
    rest = [a for a in argv if a != "--update"]
    build = rest[0] if rest else "build"
    symbols = exported(build)
    problems = compare("symbols.txt", symbols, update) + compare("layout.txt", layout(), update)
    problems += ["declared but not exported: " + n for n in declared() if n not in symbols]
    problems += ["exported but not declared: " + n for n in symbols if n not in declared()]
    problems += stand_alone()
    for p in problems:
        print("abi: " + p)
    passed = not problems
    print("abi: %d names, %d structs, %d headers: %s" %
          (len(symbols), len(structs()), len(headers()), "passed" if passed else "FAILED"))
    print("%d passed, %d failed" % (passed, not passed))
    return 0 if passed else 1


sys.exit(main(sys.argv[1:]))
