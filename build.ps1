#!/usr/bin/env pwsh
<#
.SYNOPSIS
    Builds RawDiffusion and puts the command into out/rawdiffusion.
.PARAMETER Configuration
    Release (the default) or Debug.
.PARAMETER Test
    Also runs all tests.
.EXAMPLE
    ./build.ps1 -Test
#>
param(
    [ValidateSet('Release', 'Debug')][string] $Configuration = 'Release',
    [switch] $Test
)

$ErrorActionPreference = 'Stop'
Push-Location $PSScriptRoot
try {
    dotnet build -c $Configuration
    if ($LASTEXITCODE -ne 0) { exit $LASTEXITCODE }
    if ($Test) {
        dotnet test -c $Configuration --no-build
        if ($LASTEXITCODE -ne 0) { exit $LASTEXITCODE }
    }
    dotnet publish host/RawDiffusion.Cli -c $Configuration --no-build -o out/rawdiffusion
    exit $LASTEXITCODE
}
finally {
    Pop-Location
}
