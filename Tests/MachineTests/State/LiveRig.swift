import CPU
import Foundation
import Hardware
import Testing

@testable import Machine

/// - Parameter body: gets the machine, which runs, its store, and the folder that all of it is in.
func withLiveRig(_ body: (LiveRig, MachineStore, String) throws -> Void) throws {
    try withTemporaryFolder { home in
        let rig = try LiveRig(home)
        rig.run.start()
        try body(rig, rig.store, home)
    }
}

/// A stored machine whose guest writes to its disk of 1 MiB while snapshots are worked on.
struct LiveRig {
    let store: MachineStore
    let run: StoredRun
    var folder: String { store.folder(of: "m") }

    /// The machine's folder before the run.
    let before: [String: [UInt8]]

    /// - Parameter recorder: gets what the run asks of the host's file system.
    init(_ home: String, floppy: String? = nil, recorder: FileRecorder? = nil) throws {
        try BusyMachine.prepare(home)
        store = MachineStore(home: home + "/home")
        var settings = MachineSettings()
        settings.run = BusyMachine.settings(home, cpus: 1)
        settings.run.disposable = false
        settings.run.clock = .host
        settings.run.headless = false
        settings.run.disks = []
        settings.run.floppy = floppy
        try store.create("m", settings, disk: NewDisk(bytes: 1 << 20))
        let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: home + "/disk.img")))
        try LiveRig.fill(store.folder(of: "m") + "/disk.vdi", bytes)
        before = recorder == nil ? [:] : PowerCut.contents(store.folder(of: "m"))
        let store = store
        run = try FileRecorder.$current.withValue(recorder) { try StoredRun("m", in: store) { _ in } }
    }

    private static func fill(_ path: String, _ bytes: [UInt8]) throws {
        let image = try DiskImage.open(path: path, access: .readWrite)
        #expect(bytes.withUnsafeBytes { image.write(sector: 0, from: $0) } && image.flush())
    }

    func work(_ work: SnapshotJob.Work) throws -> SnapshotJob.Facts {
        let box = Answer(), done = DispatchSemaphore(value: 0)
        let job = SnapshotJob(work, progress: { _, _ in }) { result in
            box.result = result
            done.signal()
        }
        job.start(run.session.machine)
        done.wait()
        return try #require(box.result).get()
    }

    /// Lets the guest do something.
    func go(_ instructions: UInt64 = 400_000) {
        let goal = run.session.machine.view().instructions + instructions
        while run.session.machine.view().instructions < goal, run.session.machine.view().outcome == nil { usleep(1000) }
    }

    func perform(_ command: MachineCommand) {
        let done = DispatchSemaphore(value: 0)
        run.session.machine.perform(command) { _ in done.signal() }
        done.wait()
    }

    func contents(_ disks: [String], held: Bool = false) throws -> [UInt8] {
        try #require(ImageRig.contents(try DiskChain.reading(folder + "/" + disks[0], held: held)))
    }

    /// Of a machine that is paused.
    func present() throws -> [UInt8] {
        _ = try work(.hold(folder + "/look"))
        return try contents(store.entry("m").checkedSettings().run.disks, held: true)
    }

    final class Answer: @unchecked Sendable { var result: SnapshotJob.Result? }

    /// Every page of a state file, wherever it lies.
    static func memory(_ path: String) throws -> [Int: [UInt8]] {
        let reader = try StateReader(path)
        var pages: [Int: [UInt8]] = [:]
        while let (kind, bytes) = try reader.next() {
            _ = try reader.eachPage(kind, bytes) { number, page in
                #expect(pages[number] == nil, "page \(number) comes twice")
                pages[number] = Array(page)
                return true
            }
        }
        return pages
    }
}
