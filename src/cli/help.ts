/** What `--help` prints. */

export const HELP = `quic: QUIC from the command line

usage: quic COMMAND [OPTION...]

commands:
  agent       do the TLS handshakes of other programs, with keys that they cannot read
  host        own UDP ports, and give their clients to programs by ALPN and server name
  transfer    send files over QUIC to a server and back, verified on both sides
  ss          show the QUIC sockets of all programs on this host
  tunnel      carry TCP connections and UDP datagrams through QUIC

quic COMMAND --help tells more; quic --version prints the version.
`;

export const TRANSFER_HELP = `quic transfer: send files over QUIC to a server and back, verified by SHA-256 on both sides

usage: quic transfer [FILE...] [OPTION...]                       server and client, two processes here
       quic transfer --listen [OPTION...]                        the server alone
       quic transfer [FILE...] --connect HOST:PORT [OPTION...]   the client alone

Without FILE a generated sample of 64 MiB is sent. The server keeps each file under its base name; what comes
back to the client is kept beside it in the folder "returned" (with --connect: in the folder itself).

  -o, --out DIR         where files arrive; default: a fresh temporary folder, which is named and left
      --host ADDR       address of the server; default 127.0.0.1
  -p, --port N          UDP port of the server; default: any free one, with --listen 4433
      --streams N       streams that a side has on their way at once, 1 to 64; default 4
      --timeout SECONDS for the handshake, and for silence after it; default 10
  -f, --force           replace files that exist
      --json            the last line of the output is the result as JSON

  --cert FILE --key FILE  certificate chain and key of the server (PEM); default: self-signed, made for this run
  --ca FILE               certificates that the client trusts (PEM)
  --pin SHA256            with --connect: the one certificate the client accepts, as --listen prints it
  --servername NAME       the name that the server's certificate must have; default: the host

Exit code: 0 all files verified on both sides, 1 failure, 2 wrong usage. NO_COLOR, NETQUIC_TLS, NETQUIC_DATAPATH and
SSLKEYLOGFILE are honoured.
`;

export const SS_HELP = `quic ss: the QUIC sockets of all programs on this host

usage: quic ss [OPTION...] [FILTER]
       quic ss --proc conns|eps|snmp

  -a, --all           listeners, handshakes and what has just closed, too
  -l, --listening     listeners, and the ports of quic host
  -n, --numeric       ports as numbers
  -p, --processes     the program of each socket
  -i, --info          round trips, windows, losses, ids, ... of each connection
  -m, --memory        what the queues hold, and may hold
  -e, --extended      user, number, role, library, ...
  -s, --summary       counts only
  -j, --json          one JSON object: programs with their counters, sockets with all of the above
  -4, --ipv4; -6, --ipv6
  -H, --no-header
      --proc TABLE    the tables of Linux QUIC in procfs: conns, eps (listeners), snmp (counters)

FILTER: [state STATE | exclude STATE] [EXPRESSION], as that of ss: 'state established ( dport = :443 or alpn h3 )'
  STATE       established syn-recv closing time-wait listening closed; all connected synchronized bucket big
  EXPRESSION  sport or dport with = != < > <= >= and a port, src or dst with an address or network, alpn NAME,
              pid NUMBER; and, or, not, ( )

Programs are found in NETQUIC_RUNTIME_DIR, by default those of this user; root sees everybody's.
`;

export const AGENT_HELP = `quic agent: do the TLS handshakes of other programs, with keys that they cannot read

usage: quic agent --config FILE [OPTION...]

Programs find it by the path in NETQUIC_AGENT, or by ext.agent of connect and listen. They hand it the TLS messages of
their handshakes and get the traffic secrets; certificates, private keys and pre-shared keys stay here.

  -c, --config FILE   what tlshd's configuration has: [authenticate.client] and [authenticate.server] with
                      x509.truststore, x509.certificate, x509.private_key and psk; see docs/agent.md
  -s, --socket PATH   Unix socket to listen on; default: agent.sock in NETQUIC_RUNTIME_DIR
  -g, --group GROUP   let this group use it, too (mode 0660); default: this user only (0600)

SIGHUP reads the files again: handshakes that begin then have the new ones. If they are wrong, nothing changes. SIGINT and
SIGTERM end it. SSLKEYLOGFILE and NETQUIC_TLS are honoured.
`;

export const HOST_HELP = `quic host: own UDP ports, and give their clients to programs by ALPN and server name

usage: quic host [OPTION...]

Programs find it by the path in NETQUIC_HOST, or by ext.host of listen. Each registers the protocols and names that it
serves on a port, and gets those clients; the host opens nothing but first packets and has no TLS key.

  -p, --port [ADDR:]PORT  a UDP port to open now and keep, again for more; ADDR: a literal address, default all of them.
                          Others are opened when a program of the same user asks for them
  -c, --config FILE       ports, and what other users may have; see docs/host.md
  -s, --socket PATH       Unix socket to listen on; default: host.sock in NETQUIC_RUNTIME_DIR
  -v, --verbose           a line for each program that comes, registers or goes

SIGINT and SIGTERM end it; programs keep their connections and come back to the next host with the same socket.
`;
