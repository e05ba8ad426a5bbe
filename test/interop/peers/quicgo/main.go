// quic-go, the library of Debian's package golang-github-lucas-clemente-quic-go-dev: `quicgo OPTIONS`. What moves and what is
// said to the harness stands in test/interop/protocol.ts; here it is said once more in Go.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lucas-clemente/quic-go"
)

const connectionsAtOnce = 10

type options struct {
	Role           string
	Host           string
	Port           int
	Alpn           string
	Cert, Key, Ca  string
	Case           string
	Bytes          int
	BothWays       bool
	Streams        int
	Connections    int
	PatienceMillis int
	Retry          bool
}

var stdout sync.Mutex

// tell writes one line to the harness.
func tell(line map[string]any) {
	stdout.Lock()
	defer stdout.Unlock()
	text, _ := json.Marshal(line)
	fmt.Println(string(text))
}

// pattern is `count` pseudo-random bytes that both sides can make.
func pattern(count int) []byte {
	out := make([]byte, count)
	state := uint32(count)
	for i := range out {
		state = state*1664525 + 1013904223
		out[i] = byte(state >> 24)
	}
	return out
}

func config(o options) *quic.Config {
	patience := time.Duration(o.PatienceMillis) * time.Millisecond
	return &quic.Config{
		Versions:                 []quic.VersionNumber{quic.Version1},
		HandshakeIdleTimeout:     patience,
		MaxIdleTimeout:           patience,
		MaxRetryTokenAge:         patience,
		RequireAddressValidation: func(net.Addr) bool { return o.Retry },
	}
}

func serve(o options) error {
	pair, err := tls.LoadX509KeyPair(o.Cert, o.Key)
	if err != nil {
		return err
	}
	address := net.JoinHostPort(o.Host, strconv.Itoa(o.Port))
	listener, err := quic.ListenAddrEarly(
		address, &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{o.Alpn}}, config(o))
	if err != nil {
		return err
	}
	tell(map[string]any{"listening": listener.Addr().(*net.UDPAddr).Port})
	for {
		conn, err := listener.Accept(context.Background())
		if err != nil {
			return err
		}
		go accept(conn)
	}
}

func accept(conn quic.EarlyConnection) {
	go func() {
		select {
		case <-conn.HandshakeComplete().Done():
			tell(map[string]any{"accepted": map[string]any{"alpn": conn.ConnectionState().TLS.NegotiatedProtocol}})
		case <-conn.Context().Done():
		}
	}()
	for {
		stream, err := conn.AcceptStream(context.Background())
		if err != nil {
			var application *quic.ApplicationError
			if !errors.As(err, &application) || application.ErrorCode != 0 {
				tell(map[string]any{"closed": err.Error()})
			}
			return
		}
		go func() {
			if err := answer(stream); err != nil {
				tell(map[string]any{"failed": err.Error()})
			}
		}()
	}
}

// answer reads one request to its end and answers it.
func answer(stream quic.Stream) error {
	request, err := io.ReadAll(stream)
	if err != nil {
		return err
	}
	line, body, _ := bytes.Cut(request, []byte("\n"))
	reply := []byte(hexSum(body))
	if count, isGet := strings.TrimPrefix(string(line), "GET "), bytes.HasPrefix(line, []byte("GET ")); isGet {
		number, err := strconv.Atoi(count)
		if err != nil {
			return err
		}
		reply = pattern(number)
	}
	if _, err := stream.Write(reply); err != nil {
		return err
	}
	return stream.Close()
}

func hexSum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// tickets is a session cache that says when there is one.
type tickets struct {
	tls.ClientSessionCache
	given chan struct{}
	once  sync.Once
}

func (t *tickets) Put(key string, session *tls.ClientSessionState) {
	t.ClientSessionCache.Put(key, session)
	if session != nil {
		t.once.Do(func() { close(t.given) })
	}
}

// connect is one connection; with a case that resumes, a first one for its ticket.
func connect(o options) (string, error) {
	pem, err := os.ReadFile(o.Ca)
	if err != nil {
		return "", err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	cache := &tickets{ClientSessionCache: tls.NewLRUClientSessionCache(8), given: make(chan struct{})}
	secure := &tls.Config{
		RootCAs: roots, ServerName: "localhost", NextProtos: []string{o.Alpn}, ClientSessionCache: cache}
	if o.Case == "resumption" || o.Case == "zerortt" {
		if _, err := connectOnce(o, secure, cache.given); err != nil {
			return "", err
		}
	}
	return connectOnce(o, secure, nil)
}

func connectOnce(o options, secure *tls.Config, until chan struct{}) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(o.PatienceMillis)*time.Millisecond)
	defer cancel()
	address := net.JoinHostPort(o.Host, strconv.Itoa(o.Port))
	var conn quic.Connection
	var err error
	if o.Case == "zerortt" {
		conn, err = quic.DialAddrEarlyContext(ctx, address, secure, config(o))
	} else {
		conn, err = quic.DialAddrContext(ctx, address, secure, config(o))
	}
	if err != nil {
		return "", err
	}
	seen, err := exchange(ctx, o, conn)
	if err != nil {
		return "", err
	}
	if until != nil {
		select {
		case <-until:
		case <-ctx.Done():
			return "", errors.New("the server gave no ticket")
		}
	}
	state := conn.ConnectionState().TLS
	detail := fmt.Sprintf("ALPN %s, %s, %s", state.NegotiatedProtocol, tls.CipherSuiteName(state.CipherSuite), seen)
	return detail, conn.CloseWithError(0, "")
}

func exchange(ctx context.Context, o options, conn quic.Connection) (string, error) {
	started := time.Now()
	if o.BothWays {
		failed := make(chan error, 2)
		go func() { failed <- get(ctx, conn, o.Bytes) }()
		go func() { failed <- put(ctx, conn, o.Bytes) }()
		for i := 0; i < 2; i++ {
			if err := <-failed; err != nil {
				return "", err
			}
		}
		return fmt.Sprintf("%d down and %d up bytes, SHA-256 equal, %.2f s", o.Bytes, o.Bytes, time.Since(started).Seconds()), nil
	}
	failed := make(chan error, o.Streams)
	for i := 0; i < o.Streams; i++ {
		go func() { failed <- get(ctx, conn, o.Bytes) }()
	}
	for i := 0; i < o.Streams; i++ {
		if err := <-failed; err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%d streams of %d bytes, SHA-256 equal, %.2f s", o.Streams, o.Bytes, time.Since(started).Seconds()), nil
}

func get(ctx context.Context, conn quic.Connection, count int) error {
	body, err := roundTrip(ctx, conn, []byte(fmt.Sprintf("GET %d\n", count)))
	if err != nil {
		return err
	}
	if !bytes.Equal(body, pattern(count)) {
		return fmt.Errorf("GET: %d bytes that are not those", len(body))
	}
	return nil
}

func put(ctx context.Context, conn quic.Connection, count int) error {
	body := pattern(count)
	reply, err := roundTrip(ctx, conn, append([]byte("PUT\n"), body...))
	if err != nil {
		return err
	}
	if string(reply) != hexSum(body) {
		return fmt.Errorf("PUT: the server answered %q", reply)
	}
	return nil
}

func roundTrip(ctx context.Context, conn quic.Connection, request []byte) ([]byte, error) {
	stream, err := conn.OpenStreamSync(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := stream.Write(request); err != nil {
		return nil, err
	}
	if err := stream.Close(); err != nil {
		return nil, err
	}
	return io.ReadAll(stream)
}

// eachConnection tries as many as the case asks for and returns what the last one saw.
func eachConnection(o options) (string, error) {
	if o.Connections == 1 {
		return connect(o)
	}
	var mutex sync.Mutex
	var group sync.WaitGroup
	var slowest time.Duration
	done, seen, failures := 0, "", []string{}
	slots := make(chan struct{}, connectionsAtOnce)
	for i := 0; i < o.Connections; i++ {
		slots <- struct{}{}
		group.Add(1)
		go func() {
			defer func() { <-slots; group.Done() }()
			started := time.Now()
			detail, err := connect(o)
			taken := time.Since(started)
			mutex.Lock()
			defer mutex.Unlock()
			if err != nil {
				failures = append(failures, fmt.Sprintf("%v after %d ms", err, taken.Milliseconds()))
				tell(map[string]any{"connectionFailed": len(failures), "failure": failures[len(failures)-1]})
				return
			}
			done, seen = done+1, detail
			if taken > slowest {
				slowest = taken
			}
			tell(map[string]any{"connected": done, "millis": taken.Milliseconds()})
		}()
	}
	group.Wait()
	counted := fmt.Sprintf("%d of %d connections, slowest %d ms", done, o.Connections, slowest.Milliseconds())
	if len(failures) > 0 {
		return "", fmt.Errorf("%s: %s", counted, strings.Join(failures[:min(3, len(failures))], "; "))
	}
	return counted + "; " + seen, nil
}

func min(a, b int) int {
	if a < b {
		return a
	}
	return b
}

func main() {
	var o options
	if err := json.Unmarshal([]byte(os.Args[len(os.Args)-1]), &o); err != nil {
		panic(err)
	}
	if o.Role == "client" {
		detail, err := eachConnection(o)
		if err != nil {
			detail = err.Error()
		}
		tell(map[string]any{"ok": err == nil, "detail": detail})
		return
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // a server ends with the harness
		os.Exit(0)
	}()
	if err := serve(o); err != nil {
		tell(map[string]any{"failed": err.Error()})
		os.Exit(1)
	}
}
