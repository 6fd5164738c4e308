package sel

import (
	"fmt"
	"time"
)

// Timestamp counts seconds since 1970 as the log's clock says (IPMI 2.0 §37).
type Timestamp uint32

// Bounds of a timestamp's meanings.
const (
	initMax     Timestamp = 0x20000000 // up to here: seconds since the controller was initialised
	Unspecified Timestamp = 0xFFFFFFFF
)

// TimestampOf gives t as a timestamp; times that it cannot hold are Unspecified.
func TimestampOf(t time.Time) Timestamp {
	if s := t.Unix(); s >= 0 && s < int64(Unspecified) {
		return Timestamp(s)
	}
	return Unspecified
}

// Time gives the calendar time in UTC. ok is false when t is unspecified or
// counts from a controller's initialisation.
func (t Timestamp) Time() (at time.Time, ok bool) {
	if t <= initMax || t == Unspecified {
		return time.Time{}, false
	}
	return time.Unix(int64(t), 0).UTC(), true
}

func (t Timestamp) String() string {
	if at, ok := t.Time(); ok {
		return at.Format("2006-01-02 15:04:05")
	}
	if t == Unspecified {
		return "unspecified"
	}
	return fmt.Sprintf("init+%ds", uint32(t))
}
