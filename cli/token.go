package cli

import (
	"time"

	"github.com/spf13/cobra"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

func newToken(o *options) *cobra.Command {
	var account string
	var duration time.Duration
	command := &cobra.Command{
		Use:   "token [--serviceaccount NAME] [--duration 24h]",
		Short: "Make a token for the REST API",
		Long: `Make a token for the REST API, and for programs that know nothing of Kubernetes: one of a service account of the namespace. It is
printed alone. It may do what the service account may: to run functions, that is the role edit.`,
		Example: `  kubectl create serviceaccount program && kubectl create rolebinding program --clusterrole edit --serviceaccount default:program
  TOKEN=$(kubectl function token --serviceaccount program --duration 24h)
  curl -H "Authorization: Token $TOKEN" $SHAREDCLOUD_URL/api/v1/functions`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if duration < 10*time.Minute {
				return usageError("--duration is %s; a token lives for at least 10 minutes", duration)
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
			if given := request.Status.ExpirationTimestamp.Time; !given.IsZero() && time.Until(given) < duration-time.Minute {
				o.say("The cluster gives tokens that are good until %s at most.", given.Format(time.RFC3339))
			}
			return nil
		},
	}
	command.Flags().StringVar(&account, "serviceaccount", "default", "The service account whose token it is.")
	command.Flags().DurationVar(&duration, "duration", time.Hour, "How long it is good.")
	return command
}
