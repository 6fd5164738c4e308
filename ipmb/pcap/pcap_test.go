package pcap_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/pcap"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var noon = time.Date(2025, 4, 17, 12, 0, 0, 345_678_000, time.UTC)

// capture writes one message of each kind.
func capture(t testing.TB) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := pcap.NewWriter(&out)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		w.System(noon, true, unhex(t, "18 01")),
		w.Frame(noon, ipmb.PlaneA, true, unhex(t, "84 18 64 20 02 01 dd")),
		w.Frame(noon, ipmb.PlaneB, false, unhex(t, "20 1e c2 84 00 01 00 20 81 00 10 02 29 00 00 00 00 00 9f")),
		w.Text(noon, "blade1: VM connected"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

func TestGolden(t *testing.T) {
	want := unhex(t, `
		d4 c3 b2 a1 02 00 04 00 00 00 00 00 00 00 00 00 ff ff 00 00 04 01 00 00
		40 ed 00 68 4e 46 05 00 0d 00 00 00 0d 00 00 00  0f 40 ed 00 68 59 01 05 80 00 02 18 01
		40 ed 00 68 4e 46 05 00 12 00 00 00 12 00 00 00  00 40 ed 00 68 59 01 01 80 00 07 84 18 64 20 02 01 dd
		40 ed 00 68 4e 46 05 00 1e 00 00 00 1e 00 00 00  00 40 ed 00 68 59 01 01 40 00 13 20 1e c2 84 00 01 00 20 81 00 10 02 29 00 00 00 00 00 9f
		40 ed 00 68 4e 46 05 00 1f 00 00 00 1f 00 00 00  20 40 ed 00 68 59 01 00 00 00 14
		`+hex.EncodeToString([]byte("blade1: VM connected")))
	if got := capture(t); !bytes.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", hex.Dump(got), hex.Dump(want))
	}
}

func TestRoundTrip(t *testing.T) {
	r, err := pcap.NewReader(bytes.NewReader(capture(t)))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []pcap.Record{
		{Time: noon, Channel: 0xF, Protocol: pcap.ProtocolKCS, To: true, Data: unhex(t, "18 01")},
		{Time: noon, Protocol: pcap.ProtocolIPMB, To: true, Data: unhex(t, "84 18 64 20 02 01 dd")},
		{Time: noon, Protocol: pcap.ProtocolIPMB, Plane: ipmb.PlaneB, Data: unhex(t, "20 1e c2 84 00 01 00 20 81 00 10 02 29 00 00 00 00 00 9f")},
		{Time: noon, Block: pcap.BlockText, Data: []byte("blade1: VM connected")},
	} {
		if got, err := r.Next(); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
		}
	}
	if _, err := r.Next(); err != io.EOF {
		t.Errorf("after the last: %v", err)
	}
}

// write gives the data of a single record as it is read back.
func write(t *testing.T, rec pcap.Record) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := pcap.NewWriter(&out)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(rec); err != nil {
		t.Fatal(err)
	}
	r, err := pcap.NewReader(&out)
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	return got.Data
}

func TestPasswordsAreMasked(t *testing.T) {
	inner, err := ipmb.Frame{To: 0x84, NetFn: ipmb.NetFnApp, From: 0x20, Cmd: 0x47, Data: []byte("\x02\x02hunter2")}.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, rec := range []pcap.Record{
		{Protocol: pcap.ProtocolIPMB, Data: inner},
		{Protocol: pcap.ProtocolKCS, Data: []byte("\x18\x47\x02\x02hunter2")},
		{Protocol: pcap.ProtocolKCS, Data: append([]byte{0x18, 0x34, 0x00}, inner...)},
	} {
		if got := write(t, rec); bytes.Contains(got, []byte("hunter2")) || !bytes.Contains(got, []byte("*******")) {
			t.Errorf("% x", got)
		}
	}
}

func TestLongMessagesAreCut(t *testing.T) {
	if got := write(t, pcap.Record{Protocol: pcap.ProtocolKCS, Data: make([]byte, 300)}); len(got) != pcap.MaxData {
		t.Errorf("%d bytes", len(got))
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestErrors(t *testing.T) {
	if _, err := pcap.NewWriter(brokenWriter{}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("NewWriter: %v", err)
	}
	whole := capture(t)
	for n := range len(whole) {
		if _, err := readAll(whole[:n]); err == nil && n != 24 && n != 53 && n != 87 && n != 133 {
			t.Errorf("%d bytes were taken for a capture", n)
		}
	}
	bad := bytes.Clone(whole)
	bad[20] = 1
	if _, err := readAll(bad); !errors.Is(err, pcap.ErrFormat) {
		t.Errorf("Ethernet: %v", err)
	}
	bad = bytes.Clone(whole)
	bad[24+16+10]++
	if _, err := readAll(bad); !errors.Is(err, pcap.ErrRecord) {
		t.Errorf("wrong length: %v", err)
	}
}

func readAll(b []byte) (records []pcap.Record, err error) {
	r, err := pcap.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	for {
		rec, err := r.Next()
		if err == io.EOF {
			return records, nil
		}
		if err != nil {
			return records, err
		}
		records = append(records, rec)
	}
}

func FuzzReader(f *testing.F) {
	f.Add(capture(f))
	f.Fuzz(func(t *testing.T, b []byte) {
		records, _ := readAll(b)
		for _, r := range records {
			if len(r.Data) > pcap.MaxData {
				t.Fatalf("%d bytes of data", len(r.Data))
			}
		}
	})
}
