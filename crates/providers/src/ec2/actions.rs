//! Every action of the Query API that is called, in one table: what it does to the request budget, whether it may be
//! sent again, and what a role must be allowed for it. The policy that is shipped is made of this table.

/// The version of the API, as the service model names it.
pub(crate) const VERSION: &str = "2016-11-15";

/// From which part of the budget a request is taken. EC2 counts them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// Looks only.
    Look,
    /// Changes something.
    Change,
    /// Starts machines: the smallest budget.
    Launch,
}

/// Under which condition a role is allowed an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Grant {
    /// On everything: EC2 knows no narrower right to look.
    Look,
    /// Making things.
    Make,
    /// Writing on things: when they are made, on ours, and once on what a person named.
    Mark,
    /// On what carries our tag.
    Ours,
    /// On what carries our tag and no retire mark.
    Used,
    /// On what carries our tag and the retire mark.
    Retired,
}

macro_rules! actions {
    ($($name:ident $class:ident $again:literal $grant:ident)*) => {
        /// One action of the API.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Action { $($name),* }

        impl Action {
            /// All of them.
            pub(crate) const ALL: &[Action] = &[$(Action::$name),*];
            /// Its name on the wire.
            pub(crate) fn name(self) -> &'static str {
                match self { $(Action::$name => stringify!($name)),* }
            }
            pub(crate) fn class(self) -> Class {
                match self { $(Action::$name => Class::$class),* }
            }
            /// Whether twice is as good as once, so that it may be sent again when its answer was lost: it only looks,
            /// it carries a client token, or it writes what is to be.
            pub(crate) fn again(self) -> bool {
                match self { $(Action::$name => $again),* }
            }
            pub(crate) fn grant(self) -> Grant {
                match self { $(Action::$name => Grant::$grant),* }
            }
        }
    };
}

actions! {
    DescribeInstances             Look   true  Look
    DescribeVolumes               Look   true  Look
    DescribeSnapshots             Look   true  Look
    DescribeImages                Look   true  Look
    DescribeAvailabilityZones     Look   true  Look
    DescribeSecurityGroups        Look   true  Look
    DescribeKeyPairs              Look   true  Look
    GetConsoleOutput              Look   true  Ours
    RunInstances                  Launch true  Make
    StartInstances                Launch true  Ours
    StopInstances                 Change true  Ours
    ModifyInstanceAttribute       Change true  Ours
    TerminateInstances            Change true  Retired
    CreateVolume                  Change true  Make
    ModifyVolume                  Change false Ours
    AttachVolume                  Change false Used
    DetachVolume                  Change false Ours
    DeleteVolume                  Change true  Retired
    CreateSnapshot                Change false Make
    DeleteSnapshot                Change true  Ours
    CreateTags                    Change true  Mark
    DeleteTags                    Change true  Ours
    ImportKeyPair                 Change false Make
    CreateSecurityGroup           Change false Make
    AuthorizeSecurityGroupIngress Change false Ours
}
