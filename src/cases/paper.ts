/** Fields that any case may have. */
export interface Case {
  /**
   * A shape of the paper's networks at its real batch: for benchmarks, and for tests on a real GPU. Cases without it
   * are small enough (about 30 MFLOP) for a software GPU and for a float64 reference in plain loops.
   */
  readonly paper?: boolean;
  /** The network that a `paper` shape comes from. */
  readonly network?: string;
}
