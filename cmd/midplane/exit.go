package main

import (
	"context"
	"errors"
	"io/fs"
	"strconv"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/midplane-project/midplane/deploy/lab/topology"
	"github.com/midplane-project/midplane/internal/problem"
)

// exitError ends the command with a code that is not its own, such as that of
// a program in a guest; nothing is printed.
type exitError int

func (e exitError) Error() string { return "exit status " + strconv.Itoa(int(e)) }

// exitOf reports whether err only carries an exit code.
func exitOf(err error) (int, bool) {
	var e exitError
	return int(e), errors.As(err, &e)
}

// grpcCodes are exit codes for what a daemon answered.
var grpcCodes = map[codes.Code]problem.Code{
	codes.InvalidArgument:  problem.Usage,
	codes.NotFound:         problem.NotFound,
	codes.PermissionDenied: problem.Refused,
	codes.Unauthenticated:  problem.Refused,
	codes.Unavailable:      problem.Unavailable,
	codes.DeadlineExceeded: problem.Timeout,
}

// codeOf is the exit code for an error.
func codeOf(err error) problem.Code {
	var p *problem.Error
	var mistake *topology.Error
	switch {
	case errors.As(err, &p):
		return p.Code
	case errors.As(err, &mistake):
		return problem.Usage
	case errors.Is(err, context.DeadlineExceeded):
		return problem.Timeout
	case errors.Is(err, fs.ErrNotExist):
		return problem.NotFound
	}
	if s, ok := status.FromError(err); ok {
		if code, ok := grpcCodes[s.Code()]; ok {
			return code
		}
	}
	return problem.Failed
}

// explain is what to print about an error.
func explain(err error) string {
	if s, ok := status.FromError(err); ok && s.Code() != codes.OK {
		return s.Message()
	}
	return problem.Text(err)
}
