import Foundation
import Machine
import Testing

@testable import Commands

@Suite("verbs · VBoxManage's words") @MainActor struct VBoxTests {
    /// A home with a machine `a` that has a disk.
    private func bench(_ body: (VerbBench) throws -> Void) throws {
        try withFolder { folder in
            let bench = VerbBench(folder)
            try bench.store.create("a", try #require(OSType.named("dos")).settings, disk: NewDisk(bytes: 8 << 20))
            try body(bench)
        }
    }

    @Test(
        "commands are translated",
        arguments: [
            ("list vms", "list --quoted"), ("list -l runningvms", "list --running --quoted"), ("list ostypes", "os-types"),
            ("showvminfo a --machinereadable", "show a --json"),
            ("createvm --name b --ostype Debian_64 --register", "create b --os-type linux-64"),
            ("createvm --name=b --ostype=Windows98", "create b --os-type windows-98"),
            ("createvm --name b --ostype windowsxp_64 --groups /x/y", "create b --os-type windows-xp64 --group x/y"),
            ("unregistervm a --delete", "delete a --yes"), ("clonevm a --name b --register --mode all", "clone a b"),
            ("clonevm a", "clone a 'a Clone'"),
            ("modifyvm a --memory 64 --vram 12 --cpus 2", "set a --memory 64 --video-memory 16 --cpus 2"),
            ("modifyvm a -memory 64", "set a --memory 64"),
            ("modifyvm a --boot1 dvd --boot2 disk --boot3 none --boot4 none", "set a --boot dc"),
            ("modifyvm a --boot1 none --boot2 none --boot3 none", "set a --no-boot"),
            ("modifyvm a --ioapic off", "set a --no-ioapic"),
            ("modifyvm a --acpi on --ioapic on --rtc-use-utc on", "set a --acpi --ioapic --no-rtc-local"),
            ("modifyvm a --rtcuseutc off --nic1 none", "set a --rtc-local"),
            ("modifyvm a --uart2 0x2F8 3 --uartmode2 server /tmp/pipe", "set a --serial none --serial socket:/tmp/pipe"),
            ("modifyvm a --uart1 0x3F8 4 --uart-mode1 file /tmp/log", "set a --serial file:/tmp/log"),
            ("modifyvm a --name b --memory 5", "set a --memory 5;rename a b"),
            ("startvm a", "start a"), ("startvm a b --type headless", "start a --headless --detach;start b --headless --detach"),
            ("controlvm a acpipowerbutton", "stop a"), ("controlvm a poweroff", "stop a --hard"), ("controlvm a pause", "pause a"),
            ("controlvm a keyboardputstring hello", "type a hello"), ("controlvm a screenshotpng /x.png", "screenshot a /x.png"),
            ("controlvm a savestate", "save-state a"),
            ("discardstate a", "discard-state a"), ("snapshot a take s --description=d", "snapshot take a s --description d"),
            ("snapshot a list", "snapshot list a"),
            ("createmedium disk --filename /d.vdi --size 512 --variant Fixed", "disk create /d.vdi --size 512M --format fixed"),
            ("createhd --filename /d.vdi --size 10", "disk create /d.vdi --size 10M --format dynamic"),
            ("showmediuminfo disk /d.vdi", "disk info /d.vdi"),
            ("storagectl a --name IDE --add ide --controller PIIX4", "set a --disk-interface ide"),
            ("storagectl a --name F --add floppy", ""),
            ("storageattach a --storagectl IDE --port 1 --device 0 --type dvddrive --medium /x.iso", "set a --cdrom /x.iso"),
            ("storageattach a --storagectl IDE --port 1 --device 0 --type dvddrive --medium emptydrive", "set a --no-cdrom"),
            ("storageattach a --storagectl F --port 0 --device 0 --type fdd --medium /x.img", "set a --floppy /x.img"),
            (
                "storageattach a --storagectl IDE --port 0 --device 1 --type hdd --medium /x.vdi",
                "set a --disk HOME/a/disk.vdi --disk /x.vdi --no-disk-access"
            ),
            (
                "storageattach a --storagectl IDE --port 0 --device 0 --type hdd --medium /x.vdi --mtype immutable",
                "set a --disk /x.vdi --disk-access disposable"
            ),
            ("storageattach a --storagectl IDE --port 0 --device 0 --type hdd --medium none", "set a --no-disk --no-disk-access"),
        ])
    func translations(words: String, commands: String) throws {
        try bench { (bench: VerbBench) throws in
            let result = bench.run(["vbox", "--translate"] + words.split(separator: " ").map(String.init))
            #expect(result.status == 0, "\(result.err)")
            let expected = commands.split(separator: ";").map { "vitrine \($0.replacing("HOME", with: bench.home))\n" }.joined()
            #expect(result.out == expected)
        }
    }

    @Test(
        "what is not there is said in one sentence",
        arguments: [
            ("export a", "Vitrine does not have 'export'."), ("list hdds", "Vitrine does not have 'list hdds'."),
            ("modifyvm a --nic1 nat", "Vitrine does not have network cards."),
            ("modifyvm a --paravirtprovider kvm", "Vitrine does not have the option --paravirtprovider of 'modifyvm'."),
            ("storagectl a --name SATA --add sata", "Vitrine does not have SATA controllers: use ide or virtio."),
            ("controlvm a nic1 nat", "Vitrine does not have 'controlvm nic1'."),
            ("createmedium disk --filename x --size 5 --format VMDK", "Vitrine does not have VMDK images: use VDI."),
            ("modifyvm a --memory", "'--memory' needs a value."),
            ("createvm", "'createvm' needs --name"), ("creatvm --name x", "is no command of VBoxManage (did you mean 'createvm'?)."),
            ("createvm --name b --ostype CPM", "the OS type 'CPM' is not known"),
            ("unregistervm a", "Vitrine does not have a register"), ("", "needs a command of VBoxManage"),
            ("storageattach a --port 0 --device 0", "needs --medium"),
            ("storageattach a --port 1 --device 1 --type hdd --medium x", "the next free place is number 2"),
        ])
    func absent(words: String, sentence: String) throws {
        try bench { (bench: VerbBench) throws in
            let result = bench.run(["vbox"] + words.split(separator: " ").map(String.init))
            #expect(result.status == 64)
            #expect(result.err.contains(sentence) && result.err.filter { $0 == "\n" }.count == 1, "\(result.err)")
        }
    }

    @Test("a machine's life in VBoxManage's words") func life() throws {
        try bench { (bench: VerbBench) throws in
            for words in [
                "createvm --name w --ostype Windows95 --register", "modifyvm w --memory 32 --boot1 floppy --boot2 disk --boot3 none",
                "createmedium disk --filename \(bench.folder)/w.vdi --size 100", "storagectl w --name IDE --add ide",
                "storageattach w --storagectl IDE --port 0 --device 0 --type hdd --medium \(bench.folder)/w.vdi",
                "clonevm w --name v --register",
                "modifyvm v --name x",
            ] {
                let result = bench.run(["vbox"] + words.split(separator: " ").map(String.init))
                #expect(result.status == 0, "\(words): \(result.err)")
            }
            let settings = try bench.store.entry("x").checkedSettings()
            #expect(
                settings.osType == "windows-95" && settings.run.memoryMiB == 32 && settings.run.boot == [.floppy, .disk]
                    && settings.run.disks == ["w.vdi"])
            #expect(bench.run("vbox", "unregistervm", "x", "--delete").status == 0)
            #expect(bench.run("vbox", "showvminfo", "x").status == 2)
        }
    }
}
