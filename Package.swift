// swift-tools-version: 6.1
import Foundation
import PackageDescription

/// The hot module is optimised in debug builds too, so that `swift test` runs guests at full speed. With CORE_CHECKED=1 in the
/// environment it is built plainly, exclusivity checks included.
let checked = ProcessInfo.processInfo.environment["CORE_CHECKED"] != nil
let fast: [SwiftSetting] =
    checked ? [] : [.unsafeFlags(["-O", "-wmo", "-num-threads", "2", "-enforce-exclusivity=unchecked"])]

let package = Package(
    name: "vitrine",
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/LebJe/TOMLKit", from: "0.6.0"),
    ],
    targets: [
        .target(name: "Primitives", swiftSettings: fast),
        .target(name: "CPU", dependencies: ["Primitives"], swiftSettings: fast),
        .target(name: "Hardware", dependencies: ["CPU", "Primitives"], swiftSettings: fast),
        .systemLibrary(name: "CZstd", providers: [.apt(["libzstd-dev"])]),
        .systemLibrary(name: "CZydis", providers: [.apt(["libzydis-dev"])]),
        .target(
            name: "Machine",
            dependencies: ["CZlib", "CZstd", "CZydis", "DataFiles", "Hardware", "CPU", "Primitives", .product(name: "TOMLKit", package: "TOMLKit")]),
        .systemLibrary(name: "CZlib", providers: [.apt(["zlib1g-dev"])]),
        .target(name: "DataFiles", dependencies: [.product(name: "TOMLKit", package: "TOMLKit")]),
        .systemLibrary(name: "CNcursesW", providers: [.apt(["libncurses-dev"])]),
        .target(
            name: "Terminal", dependencies: ["DataFiles", "Primitives", .product(name: "TOMLKit", package: "TOMLKit")],
            resources: [.copy("../../Themes"), .copy("../../Keymaps")]),
        .target(name: "Panels", dependencies: ["Terminal", "DataFiles", "Machine", "Hardware", "CPU", "Primitives"]),
        .target(
            name: "Console",
            dependencies: ["CNcursesW", "Panels", "Terminal", "DataFiles", "Machine", "Hardware", "CPU", "Primitives"]),
        .target(
            name: "Commands",
            dependencies: [
                "Machine", "DataFiles", "Hardware", "CPU", "Primitives", .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]),
        .executableTarget(
            name: "vitrine",
            dependencies: ["Console", "Commands", "Panels", "Terminal", "Machine", "Hardware", "CPU", "Primitives"]),
        .target(
            name: "CannedMachine", dependencies: ["Panels", "Terminal", "Machine", "Hardware", "CPU", "Primitives"], path: "Tests/CannedMachine"),
        .executableTarget(
            name: "consoleprobe",
            dependencies: ["CannedMachine", "Console", "Panels", "Terminal", "Machine", "Hardware", "CPU", "Primitives"],
            path: "Tests/ConsoleProbe"),
        .target(name: "EmptyBoard", dependencies: ["CPU", "Primitives"], path: "Tests/EmptyBoard"),
        // Optimised, as the next: their random blocks run by the million.
        .testTarget(name: "CPUTests", dependencies: ["EmptyBoard", "CPU", "Primitives"], swiftSettings: [.unsafeFlags(["-O"])]),
        // Optimised: it generates and compares a million instructions.
        .testTarget(name: "DifferentialTests", dependencies: ["EmptyBoard", "CPU", "Primitives"], swiftSettings: [.unsafeFlags(["-O"])]),
        .testTarget(name: "HardwareTests", dependencies: ["EmptyBoard", "Hardware", "CPU", "Primitives"]),
        .testTarget(name: "MetalTests", dependencies: ["Hardware", "CPU", "Primitives"]),
        .testTarget(name: "MachineTests", dependencies: ["Machine", "DataFiles", "Hardware", "CPU", "Primitives"]),
        .testTarget(name: "TidyTests", dependencies: ["Commands", "Panels", "Terminal", "Machine"]),
        .testTarget(name: "EndToEndTests", dependencies: ["vitrine", "consoleprobe", "Machine", "Hardware", "CPU", "Primitives"]),
        .testTarget(name: "CommandsTests", dependencies: ["Commands", "Machine", "Hardware", "CPU", "Primitives"]),
        .testTarget(name: "TerminalTests", dependencies: ["Terminal", "DataFiles", "Primitives"]),
        .testTarget(
            name: "PanelsTests",
            dependencies: ["CannedMachine", "Panels", "Terminal", "Machine", "Hardware", "CPU", "Primitives"],
            exclude: ["Golden"]),
    ],
    swiftLanguageModes: [.v6]
)
