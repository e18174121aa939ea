/**
 * Subgroup matrices ("tensor cores"): small products that the lanes of a subgroup compute together. WebGPU has them as an
 * experimental feature; each adapter lists the sizes that it multiplies.
 */

/** The feature that kernels on subgroup matrices need. In Node, Dawn offers it behind a toggle: src/host/node/node-webgpu.ts. */
export const MATRIX_FEATURE = "chromium-experimental-subgroup-matrix";

/** One product that an adapter computes: left [M, K] · right [K, N], with sums in f32. */
export interface MatrixSize {
  readonly M: number;
  readonly N: number;
  readonly K: number;
  /** The type of the numbers that are multiplied. */
  readonly component: "f16" | "f32";
}

/** An entry of Dawn's GPUAdapterInfo.subgroupMatrixConfigs. */
interface ListedConfiguration {
  readonly componentType: string;
  readonly resultComponentType: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

/**
 * The sizes with sums in f32, since with sums in f16 the products of a layer would lose most of their digits. Sizes that multiply f32 are
 * included only if there are none for f16, which are faster.
 */
export function matrixSizes(info: GPUAdapterInfo): readonly MatrixSize[] {
  const { subgroupMatrixConfigs = [] } = info as GPUAdapterInfo & {
    readonly subgroupMatrixConfigs?: Iterable<ListedConfiguration>;
  };
  const sizes = [...subgroupMatrixConfigs].flatMap(
    ({ componentType, resultComponentType, M, N, K }): MatrixSize[] => {
      if (resultComponentType !== "f32" || (componentType !== "f16" && componentType !== "f32")) return [];
      // The alignment that the kernels use.
      return N % 4 === 0 && K % 8 === 0 ? [{ M, N, K, component: componentType }] : [];
    },
  );
  const half = sizes.filter(({ component }) => component === "f16");
  return half.length > 0 ? half : sizes;
}

/** "16×8×16 f16". */
export function matrixSizeText({ M, N, K, component }: MatrixSize): string {
  return `${M}×${N}×${K} ${component}`;
}
