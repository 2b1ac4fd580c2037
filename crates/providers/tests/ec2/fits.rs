//! That what does not fit the service model is found.

use crate::form::Form;
use crate::model::Model;

/// What it is for: a field that EC2 does not know, or of another type, is found.
#[test]
fn what_does_not_fit_the_model_is_found() {
    let Some(environment) = crate::bed::environment() else { return };
    let model = Model::read(&environment);
    let request = |fields: &str| model.request(&Form::read(&format!("Version=2016-11-15&{fields}")));
    let good = "Action=CreateVolume&AvailabilityZone=a&Size=1&TagSpecification.1.Tag.1.Key=k";
    assert_eq!(request(good), Vec::<String>::new());
    for wrong in [
        "Action=MakeVolume",
        "Action=AttachVolume&VolumeId=v&InstanceId=i",
        "Action=CreateVolume&AvailabilityZone=a&Size=large",
        "Action=CreateVolume&AvailabilityZone=a&VolumeType=fast",
        "Action=CreateVolume&AvailabilityZone=a&Colour=red",
        "Action=CreateVolume&AvailabilityZone=a&TagSpecification.0.Tag.1.Key=k",
        "Action=DescribeVolumes&VolumeIds.1=v",
    ] {
        assert_eq!(request(wrong).len(), 1, "{wrong}: {:?}", request(wrong));
    }
    let answer = |xml: &str| model.answer("DescribeVolumes", &crate::shaped::Shaped::read(xml));
    let volumes = |inner: &str| answer(&format!("<A><volumeSet><item>{inner}</item></volumeSet></A>"));
    assert_eq!(volumes("<volumeId>v</volumeId><size>3</size><status>in-use</status>"), Vec::<String>::new());
    for wrong in [
        "<colour>red</colour>",
        "<size>large</size>",
        "<status>resting</status>",
        "<encrypted>yes</encrypted>",
    ] {
        assert_eq!(volumes(wrong).len(), 1, "{wrong}: {:?}", volumes(wrong));
    }
}
