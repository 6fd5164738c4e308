package api

import (
	"slices"

	"google.golang.org/grpc"

	"github.com/midplane-project/midplane/internal/tap"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// traceBatch bounds the entries of one message.
const traceBatch = 256

// follow sends what a viewer sees until the caller leaves.
func follow(v *tap.Viewer, r *v1.TraceRequest, stream grpc.ServerStreamingServer[v1.TraceResponse]) error {
	defer v.Close()
	if err := stream.SendHeader(nil); err != nil { // the caller may act: nothing is missed from here on
		return err
	}
	for {
		select {
		case <-stream.Context().Done():
			return nil
		case e := <-v.Entries():
			m := &v1.TraceResponse{Entries: wanted(nil, e, r), Dropped: v.Dropped()}
			for more := true; more && len(m.Entries) < traceBatch; {
				select {
				case e := <-v.Entries():
					m.Entries = wanted(m.Entries, e, r)
				default:
					more = false
				}
			}
			if err := stream.Send(m); err != nil {
				return err
			}
		}
	}
}

// wanted appends an entry if the caller asked for its controller.
func wanted(out []*v1.TraceEntry, e *v1.TraceEntry, r *v1.TraceRequest) []*v1.TraceEntry {
	if len(r.Addresses) > 0 && !slices.Contains(r.Addresses, e.Controller) {
		return out
	}
	return append(out, e)
}
