// The package's types are those of its main file, which does not load; this is the one that does.
declare module "wgsl_reflect/wgsl_reflect.module.js" {
  export * from "wgsl_reflect";
}
