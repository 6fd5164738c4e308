package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/midplane-project/midplane/internal/problem"
	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/decode"
	"github.com/midplane-project/midplane/ipmb/redact"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// traceView is one message, or one remark.
type traceView struct {
	Time       time.Time `json:"time"`
	Where      string    `json:"where"` // the daemon that saw it
	Controller string    `json:"controller"`
	Kind       string    `json:"kind"` // system, ipmb, note
	To         bool      `json:"to_controller"`
	Plane      string    `json:"plane,omitempty"`
	Bytes      string    `json:"bytes,omitempty"` // hex; passwords are masked
	Note       string    `json:"note,omitempty"`
	Text       string    `json:"text"`
}

// watchLimits end a trace or a capture.
type watchLimits struct {
	during time.Duration
	count  int
}

func (w *watchLimits) add(cmd *cobra.Command) {
	cmd.Flags().DurationVar(&w.during, "for", 0, "stop after this time (default: when interrupted)")
	cmd.Flags().IntVar(&w.count, "count", 0, "stop after so many messages")
}

// limited gives a context that ends after a time, unless that is 0. It has no
// deadline, which gRPC would tell the other side to end the stream at, too: who
// ends it would be left to chance.
func limited(ctx context.Context, during time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	if during > 0 {
		time.AfterFunc(during, cancel)
	}
	return ctx, cancel
}

func (a *app) traceVerb() *cobra.Command {
	var limits watchLimits
	cmd := &cobra.Command{
		Use:   "trace [TARGET...]",
		Short: "Show messages as they pass, decoded, a line each",
		Long: `Show messages as they pass a node's doors, or, for shelf, the replicas' switches;
without a TARGET at all nodes. A frame between two of the watched nodes is shown
once. Passwords and keys are masked.`,
		Example: `  midplane trace
  midplane trace blade1 --for 10s -o json`,
		ValidArgsFunction: a.completeTargets,
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := a.lab()
			if err != nil {
				return err
			}
			ctx, cancel := limited(cmd.Context(), limits.during)
			defer cancel()
			w, err := startWatch(ctx, l, args)
			if err != nil {
				return err
			}
			return w.run(ctx, limits.count, func(e seen) error {
				v := traceOf(e)
				return a.emit(v, v.Text)
			}, a.warn)
		},
	}
	limits.add(cmd)
	return cmd
}

// warn tells of what does not end the command.
func (a *app) warn(err error) { fmt.Fprintln(a.err, "midplane: "+problem.Text(err)) }

func traceOf(e seen) traceView {
	v := traceView{
		Time: time.Unix(0, e.Time), Where: e.where, Controller: ipmb.Addr(e.Controller).String(), To: e.ToController, Note: e.Note,
	}
	d := decode.Entry{Time: v.Time, Controller: ipmb.Addr(e.Controller), ToController: e.ToController, Bytes: e.Bytes}
	switch e.Kind {
	case v1.TraceKind_TRACE_KIND_IPMB:
		v.Kind, d.Kind, d.Plane, v.Plane = "ipmb", decode.KindIPMB, planeOf(e.Plane), planeOf(e.Plane).String()
		v.Bytes = fmt.Sprintf("%x", redact.Frame(e.Bytes))
	case v1.TraceKind_TRACE_KIND_SYSTEM:
		v.Kind, d.Kind = "system", decode.KindSystem
		v.Bytes = fmt.Sprintf("%x", redact.System(e.Bytes))
	default:
		v.Kind, d.Kind, d.Bytes = "note", decode.KindNote, []byte(e.Note)
	}
	v.Text = decode.Line(d)
	if e.Note != "" && v.Kind != "note" {
		v.Text += " (" + e.Note + ")"
	}
	return v
}

func planeOf(p v1.Plane) ipmb.Plane {
	if p == v1.Plane_PLANE_B {
		return ipmb.PlaneB
	}
	return ipmb.PlaneA
}
