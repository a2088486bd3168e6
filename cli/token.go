package cli

import (
	"time"

	"github.com/spf13/cobra"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// minTokenDuration is the minimum that the TokenRequest API accepts.
const minTokenDuration = 10 * time.Minute

func newToken(o *options) *cobra.Command {
	var account string
	var duration time.Duration
	command := &cobra.Command{
		Use:   "token [--serviceaccount NAME] [--duration DURATION]",
		Short: "Create a token for the REST API",
		Long: `Create a token of a service account of the namespace, for programs that use the REST API and not Kubernetes, and print it. The token
grants the rights of the service account: bind the ClusterRole edit to it so that it can run functions.`,
		Example: `  kubectl create serviceaccount program && kubectl create rolebinding program --clusterrole edit --serviceaccount default:program
  TOKEN=$(kubectl function token --serviceaccount program --duration 24h)
  curl -H "Authorization: Token $TOKEN" $SHAREDCLOUD_URL/api/v1/functions`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if duration < minTokenDuration {
				return usageError("--duration is %s; it must be at least 10 minutes", duration)
			}
			c, err := o.connect()
			if err != nil {
				return err
			}
			request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: ptr.To(int64(duration / time.Second))}}
			owner := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: account, Namespace: c.namespace}}
			if err := c.SubResource("token").Create(command.Context(), owner, request); err != nil {
				return err
			}
			o.out("%s\n", request.Status.Token)
			if expires := request.Status.ExpirationTimestamp.Time; !expires.IsZero() && time.Until(expires) < duration-time.Minute {
				o.notify("The cluster limits the lifetime of tokens: this one expires at %s.", expires.Format(time.RFC3339))
			}
			return nil
		},
	}
	command.Flags().StringVar(&account, "serviceaccount", "default", "Name of the service account.")
	command.Flags().DurationVar(&duration, "duration", time.Hour, "Lifetime of the token.")
	return command
}
