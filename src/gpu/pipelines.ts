/** Shader modules, bind-group layouts and compute pipelines, each created once per distinct key. */
import { messageOf, ShaderError } from "../support/errors.ts";
import { type AnyKernel, type AnyLaunch, checkKernel } from "./kernel.ts";
import {
  type BindingKind,
  featuresOf,
  parseShader,
  type ShaderFile,
  type ShaderSource,
  specialize,
} from "./shader.ts";

export interface PipelineEntry {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
  readonly shader: ShaderFile;
}

const BUFFER_TYPE: Record<BindingKind, GPUBufferBindingType> = {
  read: "read-only-storage",
  read_write: "storage",
  uniform: "uniform",
};

export class Pipelines {
  readonly #device: GPUDevice;
  readonly #source: ShaderSource;
  readonly #onCreate: (kernel: AnyKernel, key: string) => void;
  readonly #onError: (check: Promise<unknown>) => void;
  readonly #shaders = new Map<string, ShaderFile>();
  readonly #modules = new Map<string, { module: GPUShaderModule; checked: Promise<void> }>();
  readonly #layouts = new Map<string, { group: GPUBindGroupLayout; pipeline: GPUPipelineLayout }>();
  readonly #pipelines = new Map<string, PipelineEntry>();

  constructor(
    device: GPUDevice,
    source: ShaderSource,
    hooks: { onCreate: (kernel: AnyKernel, key: string) => void; onError: (check: Promise<unknown>) => void },
  ) {
    this.#device = device;
    this.#source = source;
    this.#onCreate = hooks.onCreate;
    this.#onError = hooks.onError;
  }

  /** The parsed file of a kernel, with its names checked. @throws ShaderError if they differ */
  shader(kernel: AnyKernel): ShaderFile {
    let shader = this.#shaders.get(kernel.file);
    if (!shader) {
      shader = parseShader(kernel.file, this.#source);
      this.#requireFeatures(shader, shader.features);
      this.#shaders.set(kernel.file, shader);
    }
    checkKernel(kernel, shader);
    return shader;
  }

  /** The pipeline of a launch, compiled now if new. Compile errors arrive through `onError`. */
  get(kernel: AnyKernel, launch: AnyLaunch): PipelineEntry {
    const key = pipelineKey(kernel, launch);
    const known = this.#pipelines.get(key);
    if (known) return known;
    const { shader, layout, descriptor, checked } = this.#describe(kernel, launch, key);
    this.#device.pushErrorScope("validation");
    const pipeline = this.#device.createComputePipeline(descriptor);
    const scope = this.#device.popErrorScope();
    // The module first: its message names the line; the pipeline's only says that the module is invalid.
    this.#onError(
      checked.then(async () => failIf(await scope, (text) => pipelineMessage(shader, key, text))),
    );
    const entry = { pipeline, layout: layout.group, shader };
    this.#pipelines.set(key, entry);
    this.#onCreate(kernel, key);
    return entry;
  }

  /** Compiles the pipelines of many launches in parallel. @throws ShaderError for the first that fails */
  async compile(launches: readonly { kernel: AnyKernel; launch: AnyLaunch }[]): Promise<void> {
    const missing = new Map(launches.map((entry) => [pipelineKey(entry.kernel, entry.launch), entry]));
    // Let all settle before throwing the first failure: a process that exits while Dawn compiles prints garbage.
    const results = await Promise.allSettled(
      [...missing].map(async ([key, { kernel, launch }]) => {
        if (this.#pipelines.has(key)) return;
        const { shader, layout, descriptor, checked } = this.#describe(kernel, launch, key);
        await checked;
        const pipeline = await this.#device.createComputePipelineAsync(descriptor).catch((cause: Error) => {
          throw new ShaderError(pipelineMessage(shader, key, cause.message), { cause });
        });
        this.#pipelines.set(key, { pipeline, layout: layout.group, shader });
        this.#onCreate(kernel, key);
      }),
    );
    const failed = results.find((result) => result.status === "rejected");
    if (failed) throw failed.reason;
  }

  #describe(kernel: AnyKernel, launch: AnyLaunch, key: string) {
    const shader = this.shader(kernel);
    const layout = this.#layout(shader);
    const { module, checked } = this.#module(shader, launch.spec ?? {});
    const constants: Record<string, number> = {};
    for (const { name, key: constant } of shader.overrides) {
      const value = launch.overrides?.[name];
      if (value !== undefined) constants[constant] = Number(value);
    }
    const entryPoint = kernel.entryPoint === undefined ? {} : { entryPoint: kernel.entryPoint };
    const descriptor = { label: key, layout: layout.pipeline, compute: { module, ...entryPoint, constants } };
    return { shader, layout, checked, descriptor };
  }

  #module(shader: ShaderFile, spec: Readonly<Record<string, number | string>>) {
    const key = `${shader.path} ${JSON.stringify(spec)}`;
    let entry = this.#modules.get(key);
    if (!entry) {
      this.#requireFeatures(shader, featuresOf(shader, spec));
      this.#device.pushErrorScope("validation");
      const module = this.#device.createShaderModule({ label: key, code: specialize(shader, spec) });
      const scope = this.#device.popErrorScope();
      const checked = checkModule(shader, module).then(() => scope.then(() => undefined));
      checked.catch(() => undefined); // whoever uses the module awaits it
      entry = { module, checked };
      this.#modules.set(key, entry);
    }
    return entry;
  }

  #requireFeatures({ path }: ShaderFile, features: readonly string[]): void {
    const missing = features.find((feature) => !this.#device.features.has(feature));
    if (missing !== undefined)
      throw new ShaderError(`${path}: needs the feature "${missing}", which this adapter does not have`);
  }

  /** Explicit layouts: "auto" would drop bindings that a variant does not use. */
  #layout(shader: ShaderFile) {
    const key = shader.bindings.map(({ number, kind }) => `${number} ${kind}`).join();
    let layout = this.#layouts.get(key);
    if (!layout) {
      this.#requireBindings(shader);
      this.#device.pushErrorScope("validation");
      const group = this.#device.createBindGroupLayout({
        label: key,
        entries: shader.bindings.map(({ number, kind }) => ({
          binding: number,
          visibility: 4, // GPUShaderStage.COMPUTE
          buffer: { type: BUFFER_TYPE[kind] },
        })),
      });
      layout = {
        group,
        pipeline: this.#device.createPipelineLayout({ label: key, bindGroupLayouts: [group] }),
      };
      const scope = this.#device.popErrorScope();
      this.#onError(scope.then((error) => failIf(error, (text) => `${shader.path}: ${text}`)));
      this.#layouts.set(key, layout);
    }
    return layout;
  }

  /** WebGPU guarantees 8 storage buffers; some gradients of batch norm need more. */
  #requireBindings({ path, bindings }: ShaderFile): void {
    const needed = bindings.filter(({ kind }) => kind !== "uniform").length;
    const numbers = this.#device.limits.maxBindingsPerBindGroup;
    const beyond = bindings.find(({ number }) => number >= numbers);
    if (beyond)
      throw new ShaderError(
        `${path}: ${beyond.name} has binding ${beyond.number}; the largest is ${numbers - 1}`,
      );
    const limit = this.#device.limits.maxStorageBuffersPerShaderStage;
    if (needed > limit) {
      throw new ShaderError(
        `${path}: binds ${needed} storage buffers, but this adapter allows at most ${limit} in a shader ` +
          "(maxStorageBuffersPerShaderStage): use another adapter",
      );
    }
  }
}

/** Kernel with its entry point if it names one, spec constants and overrides: the key of a pipeline, and its label. */
export function pipelineKey({ file, entryPoint }: AnyKernel, launch: AnyLaunch): string {
  const values = { ...launch.spec, ...launch.overrides };
  const text = Object.entries(values).map(([name, value]) => `${name}=${value}`);
  return [file, ...(entryPoint === undefined ? [] : [entryPoint]), ...text].join(" ");
}

async function checkModule(shader: ShaderFile, module: GPUShaderModule): Promise<void> {
  const { messages } = await module.getCompilationInfo();
  const error = messages.find((message) => message.type === "error");
  if (error) throw new ShaderError(shader.source.compilerMessage(error));
}

function failIf(error: GPUError | null, tell: (text: string) => string): void {
  if (error) throw new ShaderError(messageOf(tell(error.message)));
}

/** Dawn's error for a pipeline, with the file's line if it names one, and without the trail of what Dawn was doing. */
function pipelineMessage(shader: ShaderFile, key: string, text: string): string {
  const [, line, column, message] = /:(\d+):(\d+) error: (.*)/.exec(text) ?? [];
  if (message === undefined) return `${key}: ${messageOf(text.replace(/ - While [\s\S]*$/, "").trim())}`;
  return shader.source.compilerMessage({ lineNum: Number(line), linePos: Number(column), message });
}
