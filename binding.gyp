{
  "targets": [
    {
      "target_name": "netquic",
      "sources": [
        "addon/module.cc",
        "addon/js.cc",
        "addon/timing.cc",
        "addon/timer.cc",
        "addon/udp_batch.cc",
        "addon/udp_socket.cc",
        "addon/udp_send.cc",
        "addon/udp_recv.cc",
        "addon/udp_errors.cc",
        "addon/udp_member.cc",
        "addon/unix_socket.cc",
        "addon/unix_batch.cc",
        "addon/aead_batch.cc",
        "addon/aead_keys.cc",
        "addon/aead_scatter.cc",
        "addon/aead_evp.cc",
        "addon/aead_plain.cc",
        "addon/evp.cc",
        "addon/hkdf.cc",
        "addon/file.cc",
        "addon/tls.cc",
        "addon/tls_js.cc",
        "addon/tls_openssl.cc",
        "addon/tls_openssl_context.cc",
        "addon/tls_openssl_psk.cc",
        "addon/tls_openssl_tickets.cc",
        "addon/tls_gnutls.cc",
        "addon/tls_gnutls_context.cc",
        "addon/tls_gnutls_psk.cc",
        "addon/tls_gnutls_verify.cc",
        "addon/x509.cc"
      ],
      "defines": ["NAPI_VERSION=8"],
      "cflags_cc": ["-std=c++17", "-O3", "-Wall", "-Wextra", "-fvisibility=hidden", "-fno-exceptions"],
      "ldflags": ["-Wl,-z,relro,-z,now"],
      "libraries": ["-ldl"]
    }
  ]
}
