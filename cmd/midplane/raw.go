package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/midplane-project/midplane/deploy/lab"
	"github.com/midplane-project/midplane/internal/problem"
	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/decode"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// Ways to a controller.
const (
	viaShelf  = "shelf" // from 0x20 over the backplane
	viaNode   = "node"  // through the node's own API
	viaEither = "auto"
)

// rawView is what a controller answered.
type rawView struct {
	Target  string `json:"target"`
	Via     string `json:"via"`
	Command string `json:"command"`
	Code    uint8  `json:"completion_code"`
	Text    string `json:"completion_text"`
	Data    string `json:"data"` // hex
}

func (a *app) rawVerb() *cobra.Command {
	var lun uint8
	via := viaEither
	cmd := &cobra.Command{
		Use:   "raw TARGET NETFN CMD [DATA...]",
		Short: "Send one IPMI request and print the answer",
		Long: `Send one IPMI request to a controller and print the answer. Numbers are decimal
or 0x. Of a group extension or OEM request the defining body is part of DATA.

The request goes from the shelf manager at 0x20 over the backplane. If no shelf
runs, or with --via node, it goes to the node's own API. The exit code is 1 when
the completion code is not 0.`,
		Example: `  midplane raw blade1 6 1                # Get Device ID
  midplane raw shelf 0x0a 0x40           # Get SEL Info
  midplane raw 0x84 -l 2 0x30 1 1 2 3    # to the guest's software`,
		Args:              cobra.MinimumNArgs(3),
		ValidArgsFunction: a.completeTargets,
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := parseRaw(args[1:], lun)
			if err != nil {
				return err
			}
			l, err := a.lab()
			if err != nil {
				return err
			}
			t, err := l.ResolveTarget(args[0])
			if err != nil {
				return err
			}
			w, err := openWay(cmd.Context(), l, t, via)
			if err != nil {
				return err
			}
			defer w.close()
			if w.note != "" {
				fmt.Fprintln(a.err, "midplane: "+w.note)
			}
			return a.sendRaw(cmd.Context(), w, t, r)
		},
	}
	cmd.Flags().Uint8VarP(&lun, "lun", "l", 0, "LUN, 0 to 3; 2 is the guest's software")
	cmd.Flags().StringVar(&via, "via", viaEither, "shelf, node, or auto: the shelf if it runs")
	_ = cmd.RegisterFlagCompletionFunc("via", cobra.FixedCompletions([]string{viaEither, viaShelf, viaNode}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// parseRaw reads NETFN CMD [DATA...].
func parseRaw(args []string, lun uint8) (*v1.RawRequest, error) {
	b := make([]byte, len(args))
	for i, arg := range args {
		n, err := strconv.ParseUint(arg, 0, 8)
		if err != nil {
			return nil, problem.Usagef("%q is no byte: want 0 to 255 or 0x00 to 0xff", arg)
		}
		b[i] = byte(n)
	}
	switch {
	case b[0] > 0x3E || b[0]&1 != 0:
		return nil, problem.Usagef("network function 0x%02x is not a request's: want an even number to 0x3e", b[0])
	case lun > 3:
		return nil, problem.Usagef("--lun %d: want 0 to 3", lun)
	}
	return &v1.RawRequest{Lun: uint32(lun), NetFn: uint32(b[0]), Command: uint32(b[1]), Data: b[2:]}, nil
}

// sendRaw sends r and prints the answer.
func (a *app) sendRaw(ctx context.Context, w *way, t lab.Target, r *v1.RawRequest) error {
	answer, err := w.ask(ctx, r)
	if err != nil {
		return err
	}
	v := rawView{
		Target: t.String(), Via: w.via, Command: commandName(r), Code: uint8(answer.CompletionCode),
		Text: answer.CompletionText, Data: strings.ToLower(fmt.Sprintf("% x", answer.Data)),
	}
	err = a.print(v, func(tb *table) {
		tb.row(fmt.Sprintf("0x%02x %s", v.Code, v.Text))
		if v.Data != "" {
			tb.row(v.Data)
		}
	})
	if err == nil && v.Code != 0 {
		return exitError(problem.Failed)
	}
	return err
}

func commandName(r *v1.RawRequest) string {
	n := ipmb.NetFn(r.NetFn)
	body, _, _ := ipmb.SplitBody(n, r.Data)
	return decode.Name(n, body, ipmb.Cmd(r.Command))
}

// way is how requests reach one controller.
type way struct {
	daemon
	via  string
	note string // what the caller should know about the choice
	addr ipmb.Addr
	name string // of the shelf
	open replicas
}

// openWay chooses the way to t.
func openWay(ctx context.Context, l *lab.Lab, t lab.Target, via string) (*way, error) {
	switch {
	case via != viaShelf && via != viaNode && via != viaEither:
		return nil, problem.Usagef("--via %q: want %s, %s or %s", via, viaShelf, viaNode, viaEither)
	case via == viaNode && t.Node == nil:
		return nil, problem.Usagef("--via node: %s has no node", t)
	}
	w := &way{via: via, addr: t.Addr, name: l.Name}
	if via != viaNode {
		rs, err := dialReplicas(l)
		if err != nil {
			return nil, err
		}
		if w.daemon, err = rs.leader(ctx, l.Name); err == nil {
			w.via, w.open = viaShelf, rs
			return w, nil
		}
		rs.close()
		if via == viaShelf || t.Node == nil {
			return nil, err
		}
		w.note = "the shelf does not answer: asking the node itself"
	}
	d, err := dialNode(l, t.Name)
	w.daemon, w.via, w.open = d, viaNode, replicas{d}
	return w, err
}

func (w *way) close() { w.open.close() }

// ask sends one request. Codes other than 0 are answers, not errors.
func (w *way) ask(ctx context.Context, r *v1.RawRequest) (*v1.RawResponse, error) {
	if w.via == viaNode {
		answer, err := w.node().Raw(ctx, r)
		return answer, w.explain(err)
	}
	r.Shelf, r.Address = w.name, uint32(w.addr)
	answer, err := w.shelf().Raw(ctx, r)
	switch status.Code(err) {
	case codes.NotFound:
		return nil, problem.NotFoundf("midplane ps shows what is there", "nobody answers at %s", w.addr)
	case codes.DeadlineExceeded:
		return nil, &problem.Error{Code: problem.Timeout, What: fmt.Sprintf("%s does not answer", w.addr), Do: "midplane ps shows how it is"}
	}
	return answer, w.explain(err)
}
