// The package's types belong to its main file, which does not load; this is the file that does.
declare module "wgsl_reflect/wgsl_reflect.module.js" {
  export * from "wgsl_reflect";
}
