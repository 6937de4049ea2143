/**
 * Rotel, a collector by other people (`pip download --no-deps rotel` brings its executable, `rotel-agent`,
 * in a wheel): it takes spans from the exporter as OTLP/JSON and passes them on as messages of Protocol
 * Buffers. Not part of what must pass everywhere.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { turns } from "../random.js";

export class Rotel {
  readonly #process: ChildProcess;
  readonly #directory: string;
  /** Where it listens, without the path. */
  readonly url: string;

  private constructor(child: ChildProcess, directory: string, url: string) {
    this.#process = child;
    this.#directory = directory;
    this.url = url;
  }

  /** Starts `executable`; it sends to the collector at `to`. */
  static async start(executable: string, to: string): Promise<Rotel> {
    const [http, grpc] = [await freePort(), await freePort()];
    const directory = mkdtempSync(join(tmpdir(), "rotel-"));
    const options = {
      "otlp-http-endpoint": `127.0.0.1:${http}`,
      "otlp-grpc-endpoint": `127.0.0.1:${grpc}`,
      "pid-file": join(directory, "pid"),
      "log-file": join(directory, "log"),
      exporter: "otlp",
      "otlp-exporter-endpoint": to,
      "otlp-exporter-protocol": "http",
    };
    const args = Object.entries(options).map(([name, value]) => `--${name}=${value}`);
    const child = spawn(executable, ["start", ...args], {
      stdio: ["ignore", "inherit", "inherit"],
    });
    while (!(await listens(http))) {
      if (child.exitCode !== null) throw new Error(`${executable} ended: ${child.exitCode}`);
      await turns(100);
    }
    return new Rotel(child, directory, `http://127.0.0.1:${http}`);
  }

  /** Ends it. */
  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#process.once("exit", () => {
        rmSync(this.#directory, { recursive: true });
        resolve();
      });
      this.#process.kill("SIGINT");
    });
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => resolve(false));
    socket.on("connect", () => {
      socket.destroy();
      resolve(true);
    });
  });
}
