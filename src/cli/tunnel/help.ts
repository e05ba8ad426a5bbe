/** What `quic tunnel --help` prints. */

export const TUNNEL_HELP = `quic tunnel: TCP connections and UDP datagrams through one QUIC connection, encrypted, by ALPN

usage: quic tunnel --listen ADDRESS:PORT --cert FILE --key FILE --alpn NAME --to tcp://HOST:PORT ...      the server
       quic tunnel --connect HOST:PORT --alpn NAME --local tcp://ADDRESS:PORT ...                         the client

The client accepts TCP connections and datagrams on --local; the server passes them on to its --to. What follows an
--alpn belongs to it; give as many as you like, each with tcp://, udp:// or both.
The client stays connected: it follows a change of its address while connections go on, and tries again when the
server is gone. SIGUSR2 makes a client move to a fresh socket at once. Ctrl-C ends either side.

      --alpn NAME         what is carried; the same on both sides
      --to tcp://HOST:PORT      the one target that this side connects to, whatever the other side says
      --local tcp://ADDRESS:PORT  where this side accepts; port 0: any, which is printed
      --reverse           turns this --alpn round: the server has --local, the client has --to
      --udp-idle SECONDS  silence after which a UDP flow is forgotten; default 60

  server
      --listen ADDRESS:PORT  UDP address for QUIC; port 0: any, which is printed
      --cert FILE --key FILE certificate chain and key (PEM); --cert dev: made for this run, clients use --pin
      --client-ca FILE       clients must show a certificate of this authority (PEM)
      --any-client           allows --reverse without --client-ca
  client
      --connect HOST:PORT    the server
      --ca FILE              authorities that its certificate is checked against (PEM); default: those of Node
      --pin SHA256           accept exactly this certificate, in place of --ca and the name
      --servername NAME      the name that the certificate must have; default: the host
      --cert FILE --key FILE what this client shows to a server with --client-ca (PEM)

Exit code: 0 after Ctrl-C, 1 failure, 2 wrong usage. NO_COLOR, NETQUIC_TLS, NETQUIC_DATAPATH and SSLKEYLOGFILE are
honoured.
`;
