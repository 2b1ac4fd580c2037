//! Asks EC2: credentials as every AWS user expects, signed requests, and tries again where that is safe.
//!
//! A request that only looks, carries a token or writes what is to be may be sent again when its answer was lost.
//! Any other ends as *unknown*, and whoever asked has to look. Too many requests are waited for here, briefly; the
//! next pass of the engine is the long retry.

use std::cell::Cell;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_config::{BehaviorVersion, ConfigLoader, Region};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use aws_smithy_http_client::tls::{Provider as Tls, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Connector, ConnectorBuilder};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorSettings, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use aws_types::service_config::ServiceConfigKey;
use ideal_core::ideal::Ec2Spec;
use ideal_core::time::Time;
use ideal_host::now;
use tokio::sync::OnceCell;

use super::actions::Class;
use super::budget::{Budget, Rates};
use super::doctor::Skew;
use super::element::Element;
use super::failure::{Failure, Kind};
use super::query::Query;
use super::together::Looks;

/// How long a connection may take.
const CONNECTS_WITHIN: Duration = Duration::from_secs(5);
/// How long an answer may take: a full page of snapshots is large.
const ANSWERS_WITHIN: Duration = Duration::from_secs(60);
/// More is no answer: a full page has some megabytes.
const LONGEST: usize = 64 << 20;
/// How often a request is sent at most.
const TRIES: u32 = 5;
/// The first wait between two tries; each further one may be twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// Credentials that end sooner than this are asked for anew.
const FRESH: Duration = Duration::from_secs(300);

/// EC2 in one region, by one account.
#[derive(Debug)]
pub(crate) struct Client {
    spec: Ec2Spec,
    rates: Rates,
    /// Made at the first request: what `ideal check` opens asks nobody.
    connection: OnceCell<Connection>,
    /// What is looked at together.
    pub(crate) looks: Looks,
    /// Of how many requests the last whole look was.
    pub(crate) pages: Cell<u32>,
}

#[derive(Debug)]
struct Connection {
    region: String,
    endpoint: String,
    http: SharedHttpConnector,
    credentials: SharedCredentialsProvider,
    known: Mutex<Option<(Credentials, Arc<Budget>)>>,
    /// How far our clock was from that of the last answer.
    skew: Mutex<Option<Skew>>,
}

impl Client {
    pub(crate) fn new(spec: Ec2Spec, rates: Rates) -> Client {
        Client { spec, rates, connection: OnceCell::new(), looks: Looks::default(), pages: Cell::default() }
    }

    /// The region that is asked.
    pub(crate) async fn region(&self) -> Result<&str, Failure> {
        Ok(&self.connection().await?.region)
    }

    /// Where EC2 answers.
    pub(crate) async fn endpoint(&self) -> Result<&str, Failure> {
        Ok(&self.connection().await?.endpoint)
    }

    /// How far our clock was from that of the last answer, as far as that told the time.
    pub(crate) fn skew(&self) -> Option<Skew> {
        *self.connection.get()?.skew.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connection(&self) -> Result<&Connection, Failure> {
        self.connection.get_or_try_init(|| Connection::open(&self.spec)).await
    }

    /// One request, sent again where that is safe.
    pub(crate) async fn ask(&self, query: &Query) -> Result<Element, Failure> {
        let connection = self.connection().await?;
        let body = query.body();
        let mut tries = 0;
        let mut perhaps = None;
        loop {
            let failure = match connection.exchange(query, &body, self.rates).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            tries += 1;
            let again = match failure.kind() {
                Kind::Throttled => true,
                Kind::Expired => {
                    *connection.known.lock().unwrap_or_else(PoisonError::into_inner) = None;
                    true
                }
                Kind::Unwell => query.action.again(),
                _ => false,
            };
            if !again || tries == TRIES {
                return Err(outcome(query.action.class(), perhaps, failure));
            }
            if failure.kind() == Kind::Unwell {
                perhaps = perhaps.or(Some(failure));
            }
            tokio::time::sleep(jittered(tries)).await;
        }
    }
}

/// What several tries came to. An earlier one that may have been done counts for more than a last one that was not,
/// unless that one shows what there is.
fn outcome(class: Class, perhaps: Option<Failure>, last: Failure) -> Failure {
    match (class, last.kind()) {
        // A look does nothing.
        (Class::Look, _) | (_, Kind::NotFound | Kind::TokenTaken | Kind::TokenOver) => last,
        _ => perhaps.unwrap_or(last),
    }
}

/// A whole exchange ends: what trickles in keeps a pass from its end as well as what does not come.
async fn within<T>(
    limit: Duration,
    exchange: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let late = || Failure::Lost(format!("EC2 did not answer within {} seconds", limit.as_secs()));
    tokio::time::timeout(limit, exchange).await.unwrap_or_else(|_| Err(late()))
}

/// Who gives credentials may be out of reach for a while; all else is for a person to set right.
fn without(error: &CredentialsError) -> Failure {
    let why = chain(error);
    match error {
        CredentialsError::ProviderTimedOut(_) | CredentialsError::ProviderError(_) => {
            Failure::Unsent(format!("no credentials for now: {why}"))
        }
        _ => Failure::Said { code: "no credentials".to_owned(), message: why },
    }
}

/// Between nothing and all of a wait that doubles with each try: many who were refused together do not come back
/// together.
fn jittered(tries: u32) -> Duration {
    let most = FIRST_WAIT * 2_u32.saturating_pow(tries);
    let chance = uuid::Uuid::new_v4().as_u128() & u128::from(u32::MAX);
    let share = u32::try_from(chance).unwrap_or(u32::MAX);
    most.mul_f64(f64::from(share) / f64::from(u32::MAX))
}

impl Connection {
    async fn open(spec: &Ec2Spec) -> Result<Connection, Failure> {
        let refused = |message: String| Failure::Said { code: "no connection".to_owned(), message };
        let settings = HttpConnectorSettings::builder()
            .connect_timeout(CONNECTS_WITHIN)
            .read_timeout(ANSWERS_WITHIN)
            .build();
        let builder: ConnectorBuilder = Connector::builder().connector_settings(settings);
        let http = SharedHttpConnector::new(builder.tls_provider(Tls::Rustls(CryptoMode::Ring)).build());
        // Who gives credentials is asked by the same client.
        let shared = http.clone();
        let client = http_client_fn(move |_, _| shared.clone());
        let mut loader: ConfigLoader = aws_config::defaults(BehaviorVersion::latest()).http_client(client);
        if let Some(profile) = &spec.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(region) = &spec.region {
            loader = loader.region(Region::new(region.clone()));
        }
        let config = loader.load().await;
        let Some(region) = config.region().map(ToString::to_string) else {
            let help = "no region is named: write `region:` with the provider, or set AWS_REGION";
            return Err(refused(help.to_owned()));
        };
        let Some(credentials) = config.credentials_provider() else {
            return Err(refused("there is no source of credentials".to_owned()));
        };
        let own = || {
            let key =
                ServiceConfigKey::builder().service_id("EC2").env("AWS_ENDPOINT_URL").profile("endpoint_url");
            config.service_config()?.load_config(key.build().ok()?)
        };
        let endpoint =
            spec.endpoint.clone().or_else(own).or_else(|| config.endpoint_url().map(str::to_owned));
        let endpoint = endpoint.unwrap_or_else(|| {
            usual_endpoint(
                &region,
                config.use_fips().unwrap_or_default(),
                config.use_dual_stack().unwrap_or_default(),
            )
        });
        let endpoint = format!("{}/", endpoint.trim_end_matches('/'));
        Ok(Connection {
            region,
            endpoint,
            http,
            credentials,
            known: Mutex::default(),
            skew: Mutex::default(),
        })
    }

    /// Credentials that are good for a while, and the budget of whose they are.
    async fn identity(&self, rates: Rates) -> Result<(Credentials, Arc<Budget>), Failure> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let fresh =
            |until: SystemTime| until.duration_since(SystemTime::now()).is_ok_and(|left| left > FRESH);
        if let Some(known) = known.filter(|(known, _)| known.expiry().is_none_or(fresh)) {
            return Ok(known);
        }
        let given = self.credentials.provide_credentials().await.map_err(|error| without(&error))?;
        let account = given.account_id().map_or(given.access_key_id(), |account| account.as_str());
        let budget = Budget::of(account, &self.region, rates);
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some((given.clone(), budget.clone()));
        Ok((given, budget))
    }

    async fn exchange(&self, query: &Query, body: &str, rates: Rates) -> Result<Element, Failure> {
        let (credentials, budget) = self.identity(rates).await?;
        tokio::time::sleep(budget.take(query.action.class())).await;
        let request = self.signed(body, credentials)?;
        let failed = |error: &(dyn std::error::Error + 'static)| match was_sent(error) {
            true => Failure::Lost(format!("the answer of EC2 was lost: {}", chain(error))),
            false => Failure::Unsent(format!("EC2 cannot be reached: {}", chain(error))),
        };
        let answered = within(ANSWERS_WITHIN, async {
            let answer = self.http.call(request).await.map_err(|error| failed(&error))?;
            let status = answer.status().as_u16();
            // Also of a refusal: a clock that is wrong is why.
            let skew = answer.headers().get("date").and_then(|date| skew(date, now()));
            *self.skew.lock().unwrap_or_else(PoisonError::into_inner) = skew;
            let mut parts = ByteStream::new(answer.into_body());
            let mut whole = Vec::new();
            while let Some(part) = parts.next().await {
                whole.extend_from_slice(&part.map_err(|error| failed(&error))?);
                if whole.len() > LONGEST {
                    return Err(Failure::Lost(format!("the answer has more than {LONGEST} bytes")));
                }
            }
            Ok((status, whole))
        });
        let (status, whole) = answered.await?;
        if status != 200 {
            let failure = Failure::read(status, &whole);
            if failure.kind() == Kind::Throttled {
                budget.spent(query.action.class());
            }
            return Err(failure);
        }
        Element::read(&whole).map_err(|why| Failure::Lost(format!("the answer of EC2 cannot be read: {why}")))
    }

    fn signed(&self, body: &str, credentials: Credentials) -> Result<HttpRequest, Failure> {
        let failed = |why: String| Failure::Said { code: "not signed".to_owned(), message: why };
        let identity = credentials.into();
        let params = SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("ec2")
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| failed(error.to_string()))?
            .into();
        let form = ("content-type", "application/x-www-form-urlencoded; charset=utf-8");
        let signable = SignableRequest::new(
            "POST",
            self.endpoint.as_str(),
            [form].into_iter(),
            SignableBody::Bytes(body.as_bytes()),
        );
        let signable = signable.map_err(|error| failed(error.to_string()))?;
        let (instructions, _) =
            sign(signable, &params).map_err(|error| failed(error.to_string()))?.into_parts();
        let mut request = HttpRequest::new(SdkBody::from(body));
        request.set_method("POST").map_err(|error| failed(error.to_string()))?;
        request.set_uri(self.endpoint.as_str()).map_err(|error| failed(error.to_string()))?;
        request.headers_mut().insert(form.0, form.1);
        let (headers, _) = instructions.into_parts();
        for header in headers {
            request.headers_mut().insert(header.name(), header.value().to_owned());
        }
        Ok(request)
    }
}

/// How far our clock is from what an answer says.
fn skew(date: &str, ours: Time) -> Option<Skew> {
    let theirs = jiff::fmt::rfc2822::parse(date).ok()?.timestamp().as_millisecond();
    let theirs = Time(u64::try_from(theirs).ok()?);
    let is_ahead = ours > theirs;
    let by = if is_ahead { ours.since(theirs) } else { theirs.since(ours) };
    Some(Skew { is_ahead, by })
}

/// Where EC2 answers, unless something else is named.
fn usual_endpoint(region: &str, fips: bool, dual_stack: bool) -> String {
    let service = if fips { "ec2-fips" } else { "ec2" };
    let domain = match (region.starts_with("cn-"), dual_stack) {
        (false, false) => "amazonaws.com",
        (true, false) => "amazonaws.com.cn",
        (false, true) => "api.aws",
        (true, true) => "api.amazonwebservices.com.cn",
    };
    format!("https://{service}.{region}.{domain}")
}

/// Whether a request may have reached EC2: not when no connection was made.
fn was_sent(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut at = Some(error);
    while let Some(error) = at {
        let connecting = error.downcast_ref::<hyper_util::client::legacy::Error>();
        if connecting.is_some_and(hyper_util::client::legacy::Error::is_connect) {
            return false;
        }
        at = error.source();
    }
    true
}

/// An error with its causes, in one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut texts = vec![error.to_string()];
    let mut at = error.source();
    while let Some(error) = at {
        let text = error.to_string();
        if texts.last() != Some(&text) {
            texts.push(text);
        }
        at = error.source();
    }
    texts.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_partition_has_its_endpoint() {
        let at = |region, fips, dual| usual_endpoint(region, fips, dual);
        assert_eq!(at("eu-west-1", false, false), "https://ec2.eu-west-1.amazonaws.com");
        assert_eq!(at("us-east-1", true, false), "https://ec2-fips.us-east-1.amazonaws.com");
        assert_eq!(at("us-east-1", false, true), "https://ec2.us-east-1.api.aws");
        assert_eq!(at("cn-north-1", false, false), "https://ec2.cn-north-1.amazonaws.com.cn");
    }

    #[test]
    fn the_time_of_an_answer_is_compared_with_ours() {
        let at = |ours: u64| skew("Sun, 06 Nov 1994 08:49:37 GMT", Time(ours));
        let by = |is_ahead, secs| Some(Skew { is_ahead, by: ideal_core::time::Span::secs(secs) });
        assert_eq!(at(784_111_777_000), by(false, 0));
        assert_eq!(at(784_111_777_000 + 61_000), by(true, 61));
        assert_eq!(at(784_111_777_000 - 3_600_000), by(false, 3600));
        assert_eq!(skew("yesterday", Time(0)), None);
    }

    fn said(code: &str) -> Failure {
        Failure::Said { code: code.to_owned(), message: String::new() }
    }

    #[test]
    fn what_may_have_been_done_is_not_forgotten() {
        let lost = || Some(Failure::Lost("lost".to_owned()));
        let of = |class, perhaps, last: &str| outcome(class, perhaps, said(last)).kind();
        for last in ["RequestLimitExceeded", "UnauthorizedOperation", "InsufficientInstanceCapacity"] {
            assert_eq!(of(Class::Change, lost(), last), Kind::Unwell, "{last}");
            assert_eq!(of(Class::Change, None, last), said(last).kind(), "{last}");
            assert_eq!(of(Class::Look, lost(), last), said(last).kind(), "{last}");
        }
        for last in ["InvalidVolume.NotFound", "IdempotentParameterMismatch", "IdempotentInstanceTerminated"]
        {
            assert_eq!(of(Class::Launch, lost(), last), said(last).kind(), "{last}");
        }
    }

    #[tokio::test]
    async fn what_does_not_end_is_lost() {
        let never = within(Duration::from_millis(1), std::future::pending::<Result<(), Failure>>()).await;
        assert!(matches!(never, Err(Failure::Lost(_))), "{never:?}");
        assert_eq!(within(ANSWERS_WITHIN, async { Ok(1) }).await, Ok(1));
    }

    #[test]
    fn who_gives_credentials_may_be_away_for_a_while() {
        for passing in [
            CredentialsError::provider_timed_out(Duration::from_secs(1)),
            CredentialsError::provider_error("503"),
        ] {
            assert!(matches!(without(&passing), Failure::Unsent(_)), "{passing:?}");
        }
        for lasting in [
            CredentialsError::not_loaded("none"),
            CredentialsError::invalid_configuration("a loop"),
            CredentialsError::unhandled("not text"),
        ] {
            assert_eq!(without(&lasting).kind(), Kind::Refused, "{lasting:?}");
        }
    }

    #[test]
    fn waits_grow_and_differ() {
        let waits: Vec<Duration> = (0..100).map(|_| jittered(3)).collect();
        assert!(waits.iter().all(|wait| *wait <= FIRST_WAIT * 8));
        assert!(waits.iter().any(|wait| *wait != waits[0]));
    }
}
