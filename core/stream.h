// A stream: an ordered queue of work on one device.
#pragma once

#include "core/device.h"

namespace cucina {

// A handle; copying it names the same queue. On the cpu work is done when the call returns, so a
// cpu stream is only a name. The type means the same to both compilers: `native` is a cudaStream_t
// on cuda, null on the cpu.
class Stream {
 public:
  Stream() = default;  // the cpu's
  Stream(Device device, void* native) : device_(device), native_(native) {}

  // The stream ops on `device` use: one per process and device.
  //   throws   Error (exit code 4) when `device` is cuda and there is none
  static Stream current(Device device);

  Device device() const { return device_; }
  void* native() const { return native_; }

  // Returns when all work queued so far is done; throws Error if any of it failed.
  void synchronize() const;

 private:
  Device device_ = Device::cpu;
  void* native_ = nullptr;
};

}  // namespace cucina
