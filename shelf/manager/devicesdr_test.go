package manager

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/ipmb/sdr"
)

// teller is a controller's device SDR commands, with faults to be switched on.
type teller struct {
	records []mc.SDRRecord
	most    int // bytes of a record in an answer
	cancel  int // at that many pieces the reservation is cancelled, once
	next    map[uint16]uint16
	asked   [][]byte
	pieces  int
}

func (d *teller) ask(_ context.Context, cmd ipmb.Cmd, data ...byte) ([]byte, error) {
	d.asked = append(d.asked, append([]byte{byte(cmd)}, data...))
	if cmd == cmdReserveDeviceSDR {
		return []byte{byte(d.cancel), 0x77}, nil
	}
	id, offset, count := binary.LittleEndian.Uint16(data[2:]), int(data[4]), int(data[5])
	d.pieces++
	switch {
	case d.cancel > 0 && d.pieces == d.cancel:
		d.cancel = 0
		return nil, ipmb.ErrReservation
	case data[0] != byte(d.cancel) || data[1] != 0x77:
		return nil, ipmb.ErrReservation
	case count > d.most:
		return nil, ipmb.ErrCannotReturn
	}
	for i, r := range d.records {
		if id != sdr.FirstID && r.ID() != id {
			continue
		}
		next := sdr.LastID
		if i+1 < len(d.records) {
			next = d.records[i+1].ID()
		}
		if n, ok := d.next[r.ID()]; ok {
			next = n
		}
		return append(binary.LittleEndian.AppendUint16(nil, next), r[offset:offset+count]...), nil
	}
	return nil, ipmb.ErrNotPresent
}

func deviceRecords(t testing.TB) []mc.SDRRecord {
	t.Helper()
	return newBoard(t, blade1, sensor(blade1, 1, "a name of sixteen"[:16]), sensor(blade1, 2, "b"), &sdr.Full{Name: "full"}).records
}

// Records are read in pieces that IPMB carries, in smaller ones if a controller
// asks for that, and anew when it cancels the reservation.
func TestDeviceSDRs(t *testing.T) {
	tests := map[string]struct {
		d    teller
		most byte // in a piece
	}{
		"plain":             {teller{most: 22}, 22},
		"small answers":     {teller{most: 10}, 22},
		"smallest answers":  {teller{most: 5}, 22},
		"cancelled at once": {teller{most: 22, cancel: 1}, 22},
		"cancelled late":    {teller{most: 22, cancel: 6}, 22},
	}
	for name, tt := range tests {
		d := tt.d
		d.records = deviceRecords(t)
		got, err := deviceSDRs(t.Context(), d.ask)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(d.records, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		for _, q := range d.asked {
			if q[0] == byte(cmdDeviceSDR) && q[6] > tt.most {
				t.Errorf("%s: asked for %d bytes", name, q[6])
			}
		}
	}
}

func TestDeviceSDRsRefuse(t *testing.T) {
	tests := map[string]struct {
		ask  func(*teller) asker
		want string
	}{
		"a ring of records": {func(d *teller) asker { d.next = map[uint16]uint16{3: 1}; return d.ask }, "do not end"},
		"an absent record":  {func(d *teller) asker { d.next = map[uint16]uint16{1: 9}; return d.ask }, "record 0009"},
		"too small answers": {func(d *teller) asker { d.most = 4; return d.ask }, "many bytes"},
		"another's name": {func(d *teller) asker {
			return func(ctx context.Context, cmd ipmb.Cmd, data ...byte) ([]byte, error) {
				b, err := d.ask(ctx, cmd, data...)
				if cmd == cmdDeviceSDR && data[2] == 2 {
					b[2]++
				}
				return b, err
			}
		}, "calls itself"},
		"short answers": {func(d *teller) asker {
			return func(ctx context.Context, cmd ipmb.Cmd, data ...byte) ([]byte, error) {
				b, err := d.ask(ctx, cmd, data...)
				return b[:len(b)-1], err
			}
		}, "reservation of 1"},
		"no reservation holds": {func(*teller) asker {
			return func(_ context.Context, cmd ipmb.Cmd, _ ...byte) ([]byte, error) {
				if cmd == cmdReserveDeviceSDR {
					return []byte{1, 0}, nil
				}
				return nil, ipmb.ErrReservation
			}
		}, "reservation cancelled"},
	}
	for name, tt := range tests {
		d := &teller{records: deviceRecords(t), most: 22}
		if got, err := deviceSDRs(t.Context(), tt.ask(d)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, %v; want an error of %q", name, got, err, tt.want)
		}
	}
}

// A controller without the command has no records; one that fails otherwise
// has not been heard.
func TestDeviceSDRInfo(t *testing.T) {
	for code, want := range map[ipmb.CompletionCode]bool{ipmb.ErrInvalidCommand: true, ipmb.ErrBusy: false, ipmb.ErrTimeout: false} {
		info, err := deviceSDRInfo(t.Context(), func(context.Context, ipmb.Cmd, ...byte) ([]byte, error) { return nil, code })
		if info != "" || errors.Is(err, code) == want {
			t.Errorf("%v: %q, %v", code, info, err)
		}
	}
}

// Whatever stands in an entry: what loads is written as it was.
func FuzzSDREntry(f *testing.F) {
	locator, err := marshalLocator(&sdr.MCLocator{Addr: blade1, Name: "blade1"})
	if err != nil {
		f.Fatal(err)
	}
	e := newSDREntry(blade1.HW(), ownInstance, locator, deviceRecords(f), nil)
	if len(e.records) != 3 {
		f.Fatalf("%d records, want the locator and two: the third is of nobody", len(e.records))
	}
	f.Add(e.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := parseSDREntry(b)
		if err != nil {
			return
		}
		if again := e.append(nil); !bytes.Equal(again, b) {
			t.Errorf("% x became % x", b, again)
		}
	})
}
