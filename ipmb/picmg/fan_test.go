package picmg_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/picmg"
)

func TestFanBodies(t *testing.T) {
	p := picmg.FanProperties{Min: 20, Max: 100, Normal: 50, Local: true}
	raw, _ := p.AppendBinary(nil)
	if got, err := picmg.ParseFanProperties(raw); !bytes.Equal(raw, []byte{20, 100, 50, 0x80}) || err != nil || got != p {
		t.Errorf("% x: %+v, %v", raw, got, err)
	}
	l := picmg.FanLevels{Ordered: 80, Own: 50, Local: true}
	raw, _ = l.AppendBinary(nil)
	if got, err := picmg.ParseFanLevels(raw); !bytes.Equal(raw, []byte{80, 50, 1}) || err != nil || got != l {
		t.Errorf("% x: %+v, %v", raw, got, err)
	}
	for _, short := range []error{second(picmg.ParseFanLevels(nil)), second(picmg.ParseFanProperties([]byte{1}))} {
		if !errors.Is(short, ipmb.ErrLength) {
			t.Error(short)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestParseFanLevel(t *testing.T) {
	for _, tt := range []struct {
		raw  []byte
		want picmg.FanLevel
		err  error
	}{
		{[]byte{0, 80}, picmg.FanLevel{Level: 80}, nil},
		{[]byte{1, 0xFF}, picmg.FanLevel{FRU: 1, Level: picmg.FanLocal, Local: true}, nil},
		{[]byte{0, 0xFE}, picmg.FanLevel{Level: picmg.FanShutDown}, nil},
		{[]byte{0, 80, 1}, picmg.FanLevel{Level: 80, Local: true}, nil},
		{[]byte{0, 80, 0}, picmg.FanLevel{Level: 80}, nil},
		{[]byte{0, 0xFF, 1}, picmg.FanLevel{Level: picmg.FanLocal, Local: true}, nil},
		{[]byte{0, 0xFF, 0}, picmg.FanLevel{}, ipmb.ErrInvalidField},
		{[]byte{0, 80, 2}, picmg.FanLevel{}, ipmb.ErrInvalidField},
		{[]byte{0}, picmg.FanLevel{}, ipmb.ErrLength},
		{[]byte{0, 1, 2, 3}, picmg.FanLevel{}, ipmb.ErrLength},
	} {
		if got, err := picmg.ParseFanLevel(tt.raw); got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("% x: %+v, %v", tt.raw, got, err)
		}
	}
}

func FuzzParseFanLevel(f *testing.F) {
	f.Add([]byte{0, 80, 1})
	f.Fuzz(func(t *testing.T, raw []byte) {
		l, err := picmg.ParseFanLevel(raw)
		if err != nil {
			return
		}
		again, _ := l.AppendBinary(nil)
		if got, err := picmg.ParseFanLevel(again); err != nil || got != l {
			t.Fatalf("% x: %+v, then %+v, %v", raw, l, got, err)
		}
	})
}
