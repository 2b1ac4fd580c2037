"""Asks EC2 by boto3 for one thing after the other: python calls.py ENDPOINT refresh|launch COUNT..."""

import sys

import boto3

ec2 = boto3.client("ec2", region_name="eu-west-1", endpoint_url=sys.argv[1])


def one_by_one(machines, volumes, snapshots):
    for number in range(machines):
        ec2.describe_instances(InstanceIds=[f"i-{number:017x}"])
    for number in range(volumes):
        ec2.describe_volumes(VolumeIds=[f"vol-{number:017x}"])
    for number in range(snapshots):
        ec2.describe_snapshots(SnapshotIds=[f"snap-{number:017x}"])


def launch(count):
    for number in range(count):
        tags = [{"Key": "node", "Value": str(number)}]
        made = ec2.run_instances(
            ImageId="ami-785db401",
            InstanceType="t3.small",
            MinCount=1,
            MaxCount=1,
            Placement={"AvailabilityZone": "eu-west-1a"},
            TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
        )
        machine = made["Instances"][0]["InstanceId"]
        volume = ec2.create_volume(AvailabilityZone="eu-west-1a", Size=1)["VolumeId"]
        ec2.create_tags(Resources=[volume], Tags=tags)
        ec2.get_waiter("instance_running").wait(InstanceIds=[machine])
        ec2.get_waiter("volume_available").wait(VolumeIds=[volume])
        ec2.attach_volume(VolumeId=volume, InstanceId=machine, Device="/dev/sdf")


numbers = [int(word) for word in sys.argv[3:]]
{"refresh": one_by_one, "launch": launch}[sys.argv[2]](*numbers)
