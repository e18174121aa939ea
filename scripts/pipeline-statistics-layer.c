// A Vulkan layer that writes to standard error what the driver says of every compute pipeline it makes, by
// VK_KHR_pipeline_executable_properties: "statistic NAME: VALUE" lines, then its assembly behind a line "listing NAME". It sees the calls of one device of one instance, which is what `ghostbatch bench static` makes.
// Source of the protocol between loader and layer: the Vulkan loader's layer interface, version 2.
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vulkan/vk_layer.h>
#include <vulkan/vulkan.h>

// What the next layer, or the driver, gives.
static struct {
  VkInstance instance;
  PFN_vkGetInstanceProcAddr getInstanceProcAddr;
  PFN_vkGetDeviceProcAddr getDeviceProcAddr;
  PFN_vkCreateComputePipelines createComputePipelines;
  PFN_vkGetPipelineExecutablePropertiesKHR executables;
  PFN_vkGetPipelineExecutableStatisticsKHR statistics;
  PFN_vkGetPipelineExecutableInternalRepresentationsKHR representations;
} next;

static void *zeroed(size_t count, size_t size) {
  void *memory = calloc(count ? count : 1, size);
  if (!memory) abort();
  return memory;
}

// The entry that the loader put into the chain of an instance or a device for this layer; it moves on to the next one.
static VkLayerInstanceLink *instance_link(const VkInstanceCreateInfo *info) {
  VkLayerInstanceCreateInfo *entry = (VkLayerInstanceCreateInfo *)info->pNext;
  while (entry->sType != VK_STRUCTURE_TYPE_LOADER_INSTANCE_CREATE_INFO || entry->function != VK_LAYER_LINK_INFO)
    entry = (VkLayerInstanceCreateInfo *)entry->pNext;
  VkLayerInstanceLink *link = entry->u.pLayerInfo;
  entry->u.pLayerInfo = link->pNext;
  return link;
}

static VkLayerDeviceLink *device_link(const VkDeviceCreateInfo *info) {
  VkLayerDeviceCreateInfo *entry = (VkLayerDeviceCreateInfo *)info->pNext;
  while (entry->sType != VK_STRUCTURE_TYPE_LOADER_DEVICE_CREATE_INFO || entry->function != VK_LAYER_LINK_INFO)
    entry = (VkLayerDeviceCreateInfo *)entry->pNext;
  VkLayerDeviceLink *link = entry->u.pLayerInfo;
  entry->u.pLayerInfo = link->pNext;
  return link;
}

static VKAPI_ATTR VkResult VKAPI_CALL create_instance(const VkInstanceCreateInfo *info,
                                                      const VkAllocationCallbacks *allocator, VkInstance *instance) {
  next.getInstanceProcAddr = instance_link(info)->pfnNextGetInstanceProcAddr;
  PFN_vkCreateInstance create = (PFN_vkCreateInstance)next.getInstanceProcAddr(NULL, "vkCreateInstance");
  VkResult result = create(info, allocator, instance);
  if (result == VK_SUCCESS) next.instance = *instance;
  return result;
}

static VKAPI_ATTR VkResult VKAPI_CALL create_device(VkPhysicalDevice physical, const VkDeviceCreateInfo *info,
                                                    const VkAllocationCallbacks *allocator, VkDevice *device) {
  VkLayerDeviceLink *link = device_link(info);
  next.getDeviceProcAddr = link->pfnNextGetDeviceProcAddr;
  PFN_vkCreateDevice create =
      (PFN_vkCreateDevice)link->pfnNextGetInstanceProcAddr(next.instance, "vkCreateDevice");

  uint32_t count = info->enabledExtensionCount;
  const char **extensions = zeroed(count + 1, sizeof *extensions);
  for (uint32_t i = 0; i < count; i++) extensions[i] = info->ppEnabledExtensionNames[i];
  extensions[count] = VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME;
  VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR feature = {
      .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR,
      .pNext = (void *)info->pNext,
      .pipelineExecutableInfo = VK_TRUE,
  };
  VkDeviceCreateInfo extended = *info;
  extended.pNext = &feature;
  extended.enabledExtensionCount = count + 1;
  extended.ppEnabledExtensionNames = extensions;
  VkResult result = create(physical, &extended, allocator, device);
  free(extensions);
  if (result != VK_SUCCESS) return result;

#define NEXT(type, name) ((type)next.getDeviceProcAddr(*device, name))
  next.createComputePipelines = NEXT(PFN_vkCreateComputePipelines, "vkCreateComputePipelines");
  next.executables = NEXT(PFN_vkGetPipelineExecutablePropertiesKHR, "vkGetPipelineExecutablePropertiesKHR");
  next.statistics = NEXT(PFN_vkGetPipelineExecutableStatisticsKHR, "vkGetPipelineExecutableStatisticsKHR");
  next.representations = NEXT(PFN_vkGetPipelineExecutableInternalRepresentationsKHR,
                              "vkGetPipelineExecutableInternalRepresentationsKHR");
  return VK_SUCCESS;
}

static void write_statistics(VkDevice device, const VkPipelineExecutableInfoKHR *executable) {
  uint32_t count = 0;
  next.statistics(device, executable, &count, NULL);
  VkPipelineExecutableStatisticKHR *all = zeroed(count, sizeof *all);
  for (uint32_t i = 0; i < count; i++) all[i].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR;
  next.statistics(device, executable, &count, all);
  for (uint32_t i = 0; i < count; i++) {
    const VkPipelineExecutableStatisticValueKHR value = all[i].value;
    fprintf(stderr, "statistic %s: ", all[i].name);
    switch (all[i].format) {
      case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_BOOL32_KHR: fprintf(stderr, "%u\n", value.b32); break;
      case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_INT64_KHR: fprintf(stderr, "%lld\n", (long long)value.i64); break;
      case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_UINT64_KHR:
        fprintf(stderr, "%llu\n", (unsigned long long)value.u64);
        break;
      default: fprintf(stderr, "%g\n", value.f64);
    }
  }
  free(all);
}

// A "NAME: VALUE" line of NIR, the form that Mesa's drivers have in common.
static void write_line(const char *text, const char *name) {
  const char *line = strstr(text, name);
  if (line) fprintf(stderr, "statistic %.*s\n", (int)strcspn(line, "\n"), line);
}

static void write_listings(VkDevice device, const VkPipelineExecutableInfoKHR *executable) {
  uint32_t count = 0;
  next.representations(device, executable, &count, NULL);
  VkPipelineExecutableInternalRepresentationKHR *all = zeroed(count, sizeof *all);
  for (uint32_t i = 0; i < count; i++)
    all[i].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INTERNAL_REPRESENTATION_KHR;
  // The first call gives the sizes, the second the texts.
  next.representations(device, executable, &count, all);
  for (uint32_t i = 0; i < count; i++) all[i].pData = zeroed(all[i].dataSize + 1, 1);
  next.representations(device, executable, &count, all);
  for (uint32_t i = 0; i < count; i++) {
    // Of a compiler's many stages only the last one is what the GPU runs.
    if (all[i].isText && strstr(all[i].name, "ssembly"))
      fprintf(stderr, "listing %s\n%s\n", all[i].name, (const char *)all[i].pData);
    if (all[i].isText && i == 0) {
      write_line(all[i].pData, "workgroup_size: ");
      write_line(all[i].pData, "shared_size: ");
    }
    free(all[i].pData);
  }
  free(all);
}

static VKAPI_ATTR VkResult VKAPI_CALL create_compute_pipelines(VkDevice device, VkPipelineCache cache, uint32_t count,
                                                               const VkComputePipelineCreateInfo *infos,
                                                               const VkAllocationCallbacks *allocator,
                                                               VkPipeline *pipelines) {
  (void)cache;  // a pipeline out of a cache has no listing
  VkComputePipelineCreateInfo *captured = zeroed(count, sizeof *captured);
  for (uint32_t i = 0; i < count; i++) {
    captured[i] = infos[i];
    captured[i].flags |= VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR |
                         VK_PIPELINE_CREATE_CAPTURE_INTERNAL_REPRESENTATIONS_BIT_KHR;
  }
  VkResult result = next.createComputePipelines(device, VK_NULL_HANDLE, count, captured, allocator, pipelines);
  free(captured);
  for (uint32_t i = 0; result == VK_SUCCESS && i < count; i++) {
    VkPipelineInfoKHR pipeline = {.sType = VK_STRUCTURE_TYPE_PIPELINE_INFO_KHR, .pipeline = pipelines[i]};
    uint32_t executables = 0;
    next.executables(device, &pipeline, &executables, NULL);
    for (uint32_t index = 0; index < executables; index++) {
      VkPipelineExecutableInfoKHR executable = {.sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR,
                                                .pipeline = pipelines[i],
                                                .executableIndex = index};
      write_statistics(device, &executable);
      write_listings(device, &executable);
    }
  }
  return result;
}

static PFN_vkVoidFunction own(const char *name);

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL get_device_proc_addr(VkDevice device, const char *name) {
  PFN_vkVoidFunction found = own(name);
  return found ? found : next.getDeviceProcAddr(device, name);
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL get_instance_proc_addr(VkInstance instance, const char *name) {
  PFN_vkVoidFunction found = own(name);
  return found ? found : next.getInstanceProcAddr(instance, name);
}

static PFN_vkVoidFunction own(const char *name) {
  static const struct {
    const char *name;
    PFN_vkVoidFunction function;
  } functions[] = {
      {"vkGetInstanceProcAddr", (PFN_vkVoidFunction)get_instance_proc_addr},
      {"vkGetDeviceProcAddr", (PFN_vkVoidFunction)get_device_proc_addr},
      {"vkCreateInstance", (PFN_vkVoidFunction)create_instance},
      {"vkCreateDevice", (PFN_vkVoidFunction)create_device},
      {"vkCreateComputePipelines", (PFN_vkVoidFunction)create_compute_pipelines},
  };
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
    if (!strcmp(name, functions[i].name)) return functions[i].function;
  return NULL;
}

__attribute__((visibility("default"))) VKAPI_ATTR VkResult VKAPI_CALL
vkNegotiateLoaderLayerInterfaceVersion(VkNegotiateLayerInterface *interface) {
  interface->loaderLayerInterfaceVersion = 2;
  interface->pfnGetInstanceProcAddr = get_instance_proc_addr;
  interface->pfnGetDeviceProcAddr = get_device_proc_addr;
  interface->pfnGetPhysicalDeviceProcAddr = NULL;
  return VK_SUCCESS;
}
