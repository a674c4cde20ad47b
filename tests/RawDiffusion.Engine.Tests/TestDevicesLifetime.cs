using RawDiffusion.Engine.Tests.Contract;

namespace RawDiffusion.Engine.Tests;

/// <summary>Ends the devices when all tests of this namespace and those below are done.</summary>
[SetUpFixture]
internal sealed class TestDevicesLifetime
{
    [OneTimeTearDown]
    public void DisposeDevices() => TestDevices.DisposeAll();
}
