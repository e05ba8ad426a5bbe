{
  "targets": [
    {
      "target_name": "limit",
      "sources": [
        "limit.cc",
        "../../addon/evp.cc",
        "../../addon/aead_keys.cc",
        "../../addon/aead_evp.cc",
        "../../addon/aead_plain.cc",
      ],
      "include_dirs": ["../../addon"],
      "defines": ["NAPI_VERSION=8"],
      "cflags_cc": ["-std=c++17", "-O3", "-Wall", "-Wextra", "-fvisibility=hidden", "-fno-exceptions", "-pthread"],
      "libraries": ["-ldl", "-lpthread"]
    }
  ]
}
