// Small integers for pointers, as JavaScript sees what the addon keeps; the lowest free one is taken first.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include <vector>

namespace netquic {

template <typename T>
class SlotTable {
 public:
  // Null for a number that is free or never was.
  T* at(int64_t slot) const { return slot >= 0 && slot < int64_t(slots_.size()) ? slots_[size_t(slot)] : nullptr; }

  int32_t put(T* value) {
    while (first_free_ < slots_.size() && slots_[first_free_] != nullptr) first_free_++;
    if (first_free_ == slots_.size()) slots_.push_back(nullptr);
    slots_[first_free_] = value;
    return int32_t(first_free_++);
  }

  T* take(int64_t slot) {
    T* value = at(slot);
    if (value == nullptr) return nullptr;
    slots_[size_t(slot)] = nullptr;
    if (size_t(slot) < first_free_) first_free_ = size_t(slot);
    return value;
  }

  size_t size() const { return slots_.size(); }

 private:
  std::vector<T*> slots_;
  size_t first_free_ = 0;  // nothing below it is free
};

}  // namespace netquic
