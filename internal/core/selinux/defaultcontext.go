package selinux

import (
	"fmt"
	"slices"
	"strings"
)

// DefaultContext is the context in which a session of seuser begins if a program in
// the context from starts it: the first one that the files offer for the role and type
// of from and that the policy has, userContexts before defaultContexts. The range is
// the given level; without one, the range of from; without that, the one in the file.
//
// If the files offer none, get_default_context_with_level(3) takes the failsafe
// context, which is an administrator's. Here that is an error.
func DefaultContext(userContexts, defaultContexts []byte, seuser, from, level string, valid func(ctx string) bool) (string, error) {
	parts := strings.SplitN(from, ":", 4)
	if len(parts) < 3 {
		return "", fmt.Errorf("%q is no security context", from)
	}
	role, typ := parts[1], parts[2]
	if level == "" && len(parts) == 4 {
		level = parts[3]
	}
	var refused []string
	for _, file := range [][]byte{userContexts, defaultContexts} {
		for _, offer := range offers(file, role, typ) {
			ctx, ok := complete(offer, seuser, level)
			if !ok || slices.Contains(refused, ctx) {
				continue
			}
			if valid(ctx) {
				return ctx, nil
			}
			refused = append(refused, ctx)
		}
	}
	files := fmt.Sprintf("contexts/users/%s and contexts/default_contexts", seuser)
	if len(refused) == 0 {
		return "", fmt.Errorf("%s offer no context to sessions that %s:%s starts: neither has a line that begins with it", files, role, typ)
	}
	return "", fmt.Errorf("%s offer sessions that %s:%s starts only contexts that the policy does not have: %s",
		files, role, typ, strings.Join(refused, ", "))
}

// offers are the words behind "role:type" or "role:type:level" in the first
// line that has any.
func offers(file []byte, role, typ string) []string {
	for line := range strings.Lines(string(file)) {
		words := strings.FieldsFunc(line, isSpace)
		if len(words) < 2 {
			continue
		}
		if p := strings.Split(words[0], ":"); len(p) >= 2 && p[0] == role && p[1] == typ {
			return words[1:]
		}
	}
	return nil
}

// complete makes "role:type" or "role:type:level" a context.
func complete(offer, seuser, level string) (ctx string, ok bool) {
	p := strings.SplitN(offer, ":", 3)
	if len(p) < 2 || p[0] == "" || p[1] == "" {
		return "", false
	}
	if level == "" && len(p) == 3 {
		level = p[2]
	}
	ctx = seuser + ":" + p[0] + ":" + p[1]
	if level != "" {
		ctx += ":" + level
	}
	return ctx, true
}
