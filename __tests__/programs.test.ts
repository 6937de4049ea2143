// biome-ignore-all lint/suspicious/noTemplateCurlyInString: they are the shells' own
/**
 * Real programs of other people behave as natively: the same bytes on standard output and error and
 * the same exit code. `run.test.ts` has what `run` itself promises.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { AmpouleError, inspectExecutable, run } from "../ts/index.js";
import { BUSYBOX, cProgram, failureOf, rustGuest } from "./support/guests.js";
import { describeWithKvm } from "./support/kvm.js";
import { sameAsNative, testWithProgram } from "./support/native.js";

/** Lines with a number to sort and sum, repeated words, and sometimes a tab. */
function lines(count: number): string {
  return Array.from({ length: count }, (_, index) => {
    const number = (index * 7919) % 10_007;
    return `${number} line ${index} ${"word ".repeat(number % 7)}${number % 5 === 0 ? "\tx" : ""}\n`;
  }).join("");
}

/** Every byte value, in an order that does not compress to nothing. */
function noise(length: number): Uint8Array {
  let state = 1;
  return Uint8Array.from({ length }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state >>> 24;
  });
}

const TEXT = lines(5000);

/** Applets that read the text. */
const FILTERS: readonly string[] = [
  "ascii",
  'awk {s+=$1;n[$2]++}END{print(s,NR,n["line"],length(s)/7,int(log(s)*1e6))}',
  "awk -F[\\x20\\t] {print($NF);if(NR%3==0)print(toupper($0))}",
  "base64 -w 40",
  "bzip2 -c",
  "cat -v",
  "cksum",
  "crc32",
  "cut -c 2-9",
  "cut -d\\x20 -f 1,3",
  "dd bs=1000 count=7",
  "egrep -v ^[0-9]+.line.[0-4]",
  "expand -t 3",
  "fgrep -n word\\x20\\tx",
  "fold -w 17",
  "grep -c (7|9).*word",
  "gzip -c -9",
  "head -c 1000",
  "hexdump -C",
  "md5sum",
  "nl",
  "od -A d -t x1z",
  "paste - - -",
  "rev",
  "sed -n s/\\(line\\)\\x20\\([0-9]*\\)/\\2\\x20\\1/p;5q",
  "sed $!N;P;D",
  "sha1sum",
  "sha256sum",
  "sha3sum",
  "sha512sum",
  "sort",
  "sort -k 3 -n -r -u",
  "split-nothing",
  "tac",
  "tail -n 7",
  "tee",
  "tr -d aeiou",
  "tr -cs [:alnum:] \\n",
  "uniq -c",
  "uuencode name",
  "wc",
  "xxd -p",
];

/** Applets that need no input. */
const COMPUTATIONS: readonly (readonly string[])[] = [
  ["cal", "7", "1969"],
  ["date", "-u", "-d", "@86399", "+%Y-%m-%dT%H:%M:%S %j %A"],
  ["dc", "-e", "60 k 2 v p 3 7 100 | p"],
  ["env"],
  ["expr", "12", "*", "(", "3", "+", "4", ")"],
  ["factor", "1000000016000000063", "600851475143"],
  ["getopt", "-o", "ab:", "--", "-a", "-b", "x y", "z"],
  ["printf", "%s|%5d|%-8x|%o|%c\\n", "text", "42", "255", "8", "z"],
  ["seq", "-w", "1", "7", "500"],
  ["sh", "-c", "f() { [ $1 -le 1 ] && return; f $(($1-1)); n=$((n+$1)); }; f 200; echo $n"],
  ["sh", "-c", 'set -- a "b c" d; for x; do echo "<$x>"; done; echo ${#*} ${1%a}z >&2; exit 42'],
  ["sh", "-c", "kill -KILL $$"],
  ["sh", "-c", "cd /nowhere"],
  ["awk", 'BEGIN { printf "%.15g %.15g %e\\n", sin(1), exp(1), 2 ^ 0.5; exit 7 }'],
  ["test", "1", "-gt", "2"],
  ["true"],
  ["false"],
  ["cat", "/no/such/file"],
  ["sort", "--no-such-option"],
  ["no-such-applet"],
];

/** Splits at spaces; `\x20` and `\t` stand for characters that are meant. */
function words(command: string): string[] {
  return command.split(" ").map((word) => word.replaceAll("\\x20", " ").replaceAll("\\t", "\t"));
}

describeWithKvm("busybox", () => {
  const whenBusybox = testWithProgram(BUSYBOX, "Debian: apt-get install busybox-static");

  for (const command of FILTERS) {
    whenBusybox(`${command} < text`, async () => {
      await sameAsNative(BUSYBOX, { args: words(command), stdin: TEXT });
    });
  }

  for (const args of COMPUTATIONS) {
    whenBusybox(args.join(" "), async () => {
      await sameAsNative(BUSYBOX, { args, env: { LANG: "C", EMPTY: "" } });
    });
  }

  whenBusybox("bc computes long", async () => {
    const stdin =
      "define f(n) { if (n < 2) return 1; return n * f(n - 1); }\nf(300)\nscale=200\n22/7\nsqrt(2)\nl(3)\n";
    await sameAsNative(BUSYBOX, { args: ["bc", "-l"], stdin });
  });

  whenBusybox("gzip, bzip2 and base64 are undone by their opposites", async () => {
    const original = noise(500_000);
    for (const [pack, unpack] of [
      [
        ["gzip", "-c"],
        ["gunzip", "-c"],
      ],
      [
        ["bzip2", "-c"],
        ["bunzip2", "-c"],
      ],
      [["base64"], ["base64", "-d"]],
    ] as const) {
      const packed = await sameAsNative(BUSYBOX, { args: pack, stdin: original });
      const unpacked = await sameAsNative(BUSYBOX, { args: unpack, stdin: packed.stdout });
      expect(Buffer.compare(unpacked.stdout, original)).toBe(0);
    }
  });

  whenBusybox("sorts 3 MB", async () => {
    await sameAsNative(BUSYBOX, { args: ["sort", "-n"], stdin: lines(100_000) });
  });

  whenBusybox("knows no unknown system calls worth speaking of", async () => {
    const { statistics } = await sameAsNative(BUSYBOX, { args: ["sort"], stdin: TEXT });
    // glibc tries rseq and does without.
    expect(statistics.unknownSystemCalls.filter((name) => name !== "rseq")).toEqual([]);
    expect(statistics.systemCalls["read"]).toBeGreaterThan(0);
    expect(statistics.outputBytes).toBe(Buffer.byteLength(TEXT));
  });
});

describeWithKvm("files", () => {
  const whenBusybox = testWithProgram(BUSYBOX, "Debian: apt-get install busybox-static");
  let directory = "";

  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "ampoule-programs-"));
    writeFileSync(join(directory, "one.txt"), lines(500));
    writeFileSync(join(directory, "two.txt"), lines(510).replaceAll("1 line", "1 LINE"));
    writeFileSync(join(directory, "noise"), noise(100_000));
    writeFileSync(join(directory, "script.awk"), "{ sum += $1 } END { print sum }\n");
  });
  afterAll(() => {
    rmSync(directory, { recursive: true, force: true });
  });

  for (const command of [
    "cat one.txt two.txt",
    "diff one.txt two.txt",
    "cmp one.txt two.txt",
    "sha256sum one.txt two.txt noise",
    "grep -n LINE one.txt two.txt",
    "wc one.txt noise",
    "awk -f script.awk one.txt",
    "tail -n 3 one.txt two.txt",
    "sort -m one.txt two.txt",
    "od -t x4 -N 64 noise",
    "xxd -s 99000 noise",
    "dd if=noise bs=512 skip=3 count=5",
    "cat missing.txt",
    "tac two.txt",
  ]) {
    whenBusybox(command, async () => {
      const names = ["one.txt", "two.txt", "noise", "script.awk"];
      const place = (word: string): string => {
        const [, before = "", name = ""] = /^(if=)?(.*)$/.exec(word) ?? [];
        const isFile = names.includes(name) || name === "missing.txt";
        return isFile ? before + join(directory, name) : word;
      };
      const files = Object.fromEntries(
        names.map((name) => [join(directory, name), readFileSync(join(directory, name))]),
      );
      await sameAsNative(BUSYBOX, { args: command.split(" ").map(place), files });
    });
  }
});

describeWithKvm("C programs", () => {
  for (const libc of ["glibc", "musl"] as const) {
    const install = "run `cargo xtask guests`; for musl, Debian: apt-get install musl-tools";
    testWithProgram(cProgram("words", libc), install)(`of ${libc}`, async () => {
      const [hello, counter] = [cProgram("hello", libc), cProgram("words", libc)];
      for (const program of [hello, counter]) {
        expect(inspectExecutable(readFileSync(program)).kind).toBe("fixed");
      }
      await sameAsNative(hello, { args: ["one", "", "two words", "größer"] });
      await sameAsNative(hello, { env: { EXIT_CODE: "200" } });
      await sameAsNative(counter, { stdin: TEXT });
      await sameAsNative(counter, { stdin: noise(100_000) });
      await sameAsNative(counter);
    });
  }
});

describeWithKvm("Rust programs", () => {
  test("that are position-independent", async () => {
    const program = rustGuest("testing");
    expect(inspectExecutable(readFileSync(program)).kind).toBe("position-independent");
    const { stdout } = await sameAsNative(program, { args: ["describe"] });
    expect(JSON.parse(Buffer.from(stdout).toString())).toHaveProperty("exports");
    await sameAsNative(program, { args: ["call", "add", "1", "2"] });
    await sameAsNative(program, { args: ["call", "compute", "100000"] });
    await sameAsNative(program, { args: ["call", "parse", '"not a number"'] });
    await sameAsNative(program, { args: ["call", "no_such_function"] });
    await sameAsNative(program);
  });
});

describeWithKvm("other people's programs", () => {
  const BASH = "/bin/bash-static";
  const whenBash = testWithProgramIfThere(BASH);
  for (const script of [
    "x=0; for i in {1..2000}; do x=$((x+i*i)); done; echo $x",
    "declare -A m; for i in {1..300}; do m[$((i%7))]+=$i; done; for k in ${!m[@]}; do echo $k ${#m[$k]}; done",
    "mapfile -t l; echo ${#l[@]}; printf '%s\\n' \"${l[@]:17:2}\"",
    "[[ abc123 =~ ([a-z]+)([0-9]+) ]] && echo ${BASH_REMATCH[2]}; echo ${x:?not set}",
    "f() { if (($1 < 2)); then r=$1; else f $(($1-1)); local a=$r; f $(($1-2)); r=$((a+r)); fi; }; f 15; echo $r",
    "printf '%(%Y-%m)T %q\\n' 0 'a b'; kill -TERM $$",
    "trap 'echo bye' EXIT; exit 3",
    "read -r x <<< 'here it is'; echo $x; read -r y; echo $y",
    "set -e; false; echo never",
  ]) {
    whenBash(`bash -c ${script}`, async () => {
      await sameAsNative(BASH, { args: ["--norc", "-c", script], stdin: lines(50) });
    });
  }
  whenBash("bash reads its script from standard input", async () => {
    await sameAsNative(BASH, {
      args: ["--norc"],
      stdin: "echo one\nread x\ntwo\necho $x >&2\nexit 5\n",
    });
  });

  const ZSH = "/bin/zsh-static";
  testWithProgramIfThere(ZSH)("zsh computes", async () => {
    const script =
      "typeset -A m; for i in {1..300}; do (( m[$((i%7))] += i )); done; print -l ${(kv)m}";
    await sameAsNative(ZSH, { args: ["-fc", script] });
    await sameAsNative(ZSH, {
      args: ["-fc", "zmodload zsh/mathfunc; print $(( sqrt(2) )); exit 9"],
    });
  });

  const SASH = "/bin/sash";
  testWithProgramIfThere(SASH)("sash has its commands inside", async () => {
    await sameAsNative(SASH, { args: ["-c", "-echo hello"] });
    await sameAsNative(SASH, { args: ["-c", "-sum /no/such/file"] });
  });

  const E2FSCK = "/usr/sbin/e2fsck.static";
  testWithProgramIfThere(E2FSCK)("e2fsck explains itself", async () => {
    await sameAsNative(E2FSCK, { args: ["-V"] });
    await sameAsNative(E2FSCK);
  });

  const GPGV = "/usr/bin/gpgv-static";
  testWithProgramIfThere(GPGV)("gpgv finds nothing to verify", async () => {
    await sameAsNative(GPGV, { args: ["--version"] });
    await sameAsNative(GPGV, { args: ["--keyring", "/dev/null"], stdin: "no signature" });
  });

  const LDCONFIG = "/sbin/ldconfig";
  testWithProgramIfThere(LDCONFIG)("ldconfig is position-independent C", async () => {
    await sameAsNative(LDCONFIG, { args: ["--help"] });
    await sameAsNative(LDCONFIG, { args: ["--version"] });
  });
});

describeWithKvm("what is no static x86-64 program", () => {
  const header = readFileSync(rustGuest("testing")).subarray(0, 64);
  const changed = (offset: number, ...bytes: number[]): Uint8Array => {
    const copy = Uint8Array.from(readFileSync(rustGuest("testing")));
    copy.set(bytes, offset);
    return copy;
  };

  test.each<[string, string | Uint8Array, RegExp]>([
    [
      "an empty file",
      new Uint8Array(),
      /not an ELF executable; build a static x86-64 Linux program/,
    ],
    ["a script", Buffer.from("#!/bin/sh\necho hi\n"), /not an ELF executable/],
    ["a dynamic program", process.execPath, /dynamically linked; .*crt-static.*gcc -static/],
    ["a header alone", header, /truncated.*; copy or build it again/],
    ["a program cut short", readFileSync(rustGuest("testing")).subarray(0, 50_000), /truncated/],
    ["a program for 32 bits", changed(4, 1), /another machine .*build it for x86-64/],
    ["a big-endian program", changed(5, 2), /another machine .*build it for x86-64/],
    ["a program for Arm", changed(18, 183, 0), /another machine \(AArch64\).*build it for x86-64/],
    ["an object file", changed(16, 1, 0), /./],
    ["a core dump", changed(16, 4, 0), /./],
  ])("%s is refused with the remedy", async (_what, program, message) => {
    const failure = await failureOf(() => run(program));
    expect(failure).toBeInstanceOf(AmpouleError);
    expect(failure["code"]).toBe("ERR_AMPOULE_INVALID_GUEST");
    expect(failure["message"]).toMatch(message);
    const bytes = typeof program === "string" ? readFileSync(program) : program;
    expect(await failureOf(() => inspectExecutable(bytes))).toMatchObject({
      code: "ERR_AMPOULE_INVALID_GUEST",
    });
  });

  test.each([
    ["/no/such/program", /option guest cannot be read: ENOENT/],
    ["/", /option guest cannot be read: EISDIR/],
  ])("%s cannot be read", async (path, message) => {
    const failure = await failureOf(() => run(path));
    expect(failure["code"]).toBe("ERR_AMPOULE_INVALID_ARGUMENT");
    expect(failure["message"]).toMatch(message);
  });
});

/** `test` for programs that few machines have; they are more of the same, so nothing requires them. */
function testWithProgramIfThere(program: string): typeof whenThere {
  const whenThere = (name: string, body: () => Promise<void>): void => {
    (existsSync(program) ? test : test.skip)(name, body);
  };
  return whenThere;
}
