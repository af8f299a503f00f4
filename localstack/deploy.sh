#!/usr/bin/env bash
# deploy.sh: the stack of template.yaml on LocalStack, through SAM, as it would go to AWS. `make deploy-local` builds first.
#
# LocalStack's free edition takes the Kafka mappings and polls nothing, and only pretends the HTTP API; `trunkline up --invoke`
# does both, and calls the functions that were deployed. The lake of these is LocalStack's own S3: it gives its functions
# credentials that are good for no other.
set -euo pipefail
cd "$(dirname "$0")/.."

stack=${STACK:-trunkline}
# Where the functions run: on the network of docker-compose.yml, or as processes of the host.
place=${1:-network}
export AWS_ENDPOINT_URL=${AWS_ENDPOINT_URL:-http://127.0.0.1:4566} LAKE=localstack
export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_REGION=us-east-1 SAM_CLI_TELEMETRY=0

# ec2 ACTION TAG: the first TAG of what an EC2 query answers. LocalStack checks no signature.
ec2() {
    curl -sf "$AWS_ENDPOINT_URL" --data "Action=$1&Version=2016-11-15" \
        -H "Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/$AWS_REGION/ec2/aws4_request, SignedHeaders=host, Signature=-" |
        sed -n "s/.*<$2>\([^<]*\)<.*/\1/p" | head -1
}

# Where nothing answers, they are empty.
subnet=$(ec2 DescribeSubnets subnetId) || true
group=$(ec2 DescribeSecurityGroups groupId) || true
[ -n "$subnet" ] && [ -n "$group" ] || { echo "deploy.sh: nothing answers for EC2 at $AWS_ENDPOINT_URL: start LocalStack first" >&2; exit 1; }

# What the functions are built for, too; LocalStack runs them on this machine.
case ${ARCH:-$(uname -m)} in
aarch64 | arm64) architecture=arm64 ;;
*) architecture=x86_64 ;;
esac

# Not in the loop's own substitution, whose failure nothing would notice.
parameters=$(localstack/parameters.sh "$place")
overrides=(Architecture="$architecture" SubnetId="$subnet" SecurityGroupId="$group")
while IFS='=' read -r key value; do
    case $key in
    AWS_*) ;;
    *)
        value=${value//\\/\\\\}
        overrides+=("$key=\"${value//\"/\\\"}\"")
        ;;
    esac
done <<<"$parameters"

crates/test-support/services/tools.sh sam deploy --stack-name "$stack" --region us-east-1 --resolve-s3 \
    --capabilities CAPABILITY_IAM --no-confirm-changeset --no-fail-on-empty-changeset --parameter-overrides "${overrides[@]}"

cat <<END

Deployed. What calls the functions is the local runtime:
  LAKE=localstack localstack/parameters.sh host > deployed.parameters
  TRUNKLINE_PARAMETERS=deployed.parameters trunkline init
  TRUNKLINE_PARAMETERS=deployed.parameters trunkline up --invoke $AWS_ENDPOINT_URL --invoke-prefix $stack-
END
